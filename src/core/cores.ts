import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Number of cores that this process may really use, and the limit that decides it. */
export interface Cores {
  readonly count: number
  readonly limitedBy: 'machine or affinity' | 'cgroup quota'
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** The CPU quota of the cgroup in cores, or undefined where there is none. Version 2 first, then version 1. */
export function cgroupCpuQuota(readFile: (path: string) => string | undefined = read): number | undefined {
  const v2 = readFile('/sys/fs/cgroup/cpu.max')?.split(' ')
  if (v2?.[0] !== undefined && v2[0] !== 'max') return Number(v2[0]) / Number(v2[1] ?? 100_000)
  const quota = Number(readFile('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') ?? -1)
  const period = Number(readFile('/sys/fs/cgroup/cpu/cpu.cfs_period_us') ?? 0)
  return quota > 0 && period > 0 ? quota / period : undefined
}

/** Cores the process may use: affinity and cgroup quota counted, at least 1. */
export function usableCores(): Cores {
  const machine = availableParallelism()
  const quota = cgroupCpuQuota()
  if (quota !== undefined && quota < machine) return { count: Math.max(1, Math.floor(quota)), limitedBy: 'cgroup quota' }
  return { count: machine, limitedBy: 'machine or affinity' }
}
