import { readFileSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'

const PAGE_BYTES = 4096

/** Memory of this process that no file stands behind; elsewhere than on Linux, all that is resident. */
function anonymousBytes(): number {
  try {
    const [, resident = '0', shared = '0'] = readFileSync('/proc/self/statm', 'utf8').split(' ')
    return (Number(resident) - Number(shared)) * PAGE_BYTES
  } catch {
    return process.memoryUsage.rss()
  }
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
