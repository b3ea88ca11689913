import { readFileSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { statField } from './proc-stat.ts'

const PAGE_BYTES = 4096

/** Resident memory of a process, from the kernel; undefined where there is no /proc. */
export function residentBytes(pid: number | undefined): number | undefined {
  return statm(pid ?? 0)?.resident
}

/** Threads of a process; undefined where there is no /proc. */
export function threadsOf(pid: number | undefined): number | undefined {
  try {
    return statField(`/proc/${pid ?? 0}/stat`, 20)
  } catch {
    return undefined
  }
}

/** Sizes of a process in bytes, see proc(5). */
function statm(pid: number | 'self'): { readonly resident: number; readonly shared: number } | undefined {
  try {
    const [, resident, shared] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')
    return { resident: Number(resident) * PAGE_BYTES, shared: Number(shared) * PAGE_BYTES }
  } catch {
    return undefined
  }
}

/** Memory of this process that no file stands behind; elsewhere than on Linux, all that is resident. */
function anonymousBytes(): number {
  const own = statm('self')
  return own === undefined ? process.memoryUsage.rss() : own.resident - own.shared
}

/**
 * What opening something takes: the growth of the process while it goes on, so as little as possible should go on beside it.
 * Memory that was given back before and is used again does not show: never less than `leastBytes`.
 */
export async function measureOpening<T>(open: () => Promise<T>, leastBytes: number): Promise<{ opened: T; bytes: number }> {
  const before = anonymousBytes()
  const opened = await open()
  return { opened, bytes: Math.max(leastBytes, anonymousBytes() - before) }
}

/** The JavaScript heap of the calling thread. */
export function heapBytes(): number {
  return getHeapStatistics().total_physical_size
}
