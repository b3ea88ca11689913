import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Memory of a process, megabytes. */
export interface LiveMemory {
  /** Of live objects and the buffers that they hold. */
  readonly live: number
  readonly resident: number
}

let collect: (() => void) | undefined

const MEGABYTE = 1024 * 1024

/** Memory of this process once all garbage is collected: what V8 has not collected yet is no growth, and there may be much of it. */
export function liveMemory(): LiveMemory {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  // What finalizers let go is collected by the next.
  for (let turn = 0; turn < 3; turn++) collect()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { live: (heapUsed + external) / MEGABYTE, resident: rss / MEGABYTE }
}
