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

/** Memory sizes of a process in bytes, see proc(5). */
function statm(pid: number | 'self'): { readonly resident: number; readonly shared: number } | undefined {
  try {
    const [, resident, shared] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')
    return { resident: Number(resident) * PAGE_BYTES, shared: Number(shared) * PAGE_BYTES }
  } catch {
    return undefined
  }
}

/** Memory of this process that is not backed by a file; on systems other than Linux, all resident memory. */
export function anonymousBytes(): number {
  const own = statm('self')
  return own === undefined ? process.memoryUsage.rss() : own.resident - own.shared
}

/**
 * Measures the memory that `open` takes: the growth of the process meanwhile, so as little as possible should run beside it. Memory that
 * was freed before and is used again does not show: the result is never less than `leastBytes`.
 */
export async function measureOpening<T>(open: () => Promise<T>, leastBytes: number): Promise<{ opened: T; bytes: number }> {
  const before = anonymousBytes()
  const opened = await open()
  return { opened, bytes: Math.max(leastBytes, anonymousBytes() - before) }
}

/** Size of the JavaScript heap of the calling thread. */
export function heapBytes(): number {
  return getHeapStatistics().total_physical_size
}
