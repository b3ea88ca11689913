import { readdirSync, readFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { statField } from './proc-stat.ts'

/** CAP_SYS_NICE of capabilities(7). */
const CAP_SYS_NICE = 1n << 23n

/**
 * Nice value with a tenth of the weight of the usual 0, see sched(7). The highest value, 19, has a seventieth: on a machine without a free
 * core a version then took minutes to load, and so did any thread that waited for a lock which the loading thread held.
 */
const LOW_NICE = 10

let restorable: boolean | undefined

/**
 * Whether a thread that has lowered its priority may raise it again: on Linux this needs CAP_SYS_NICE, or a "nice" limit that allows it. On
 * other systems the priority is that of the whole process.
 */
export function canLowerPriority(): boolean {
  restorable ??= process.platform === 'linux' && mayRaise()
  return restorable
}

function mayRaise(): boolean {
  try {
    const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
    if ((BigInt(`0x${capabilities}`) & CAP_SYS_NICE) !== 0n) return true
    const limit = /^Max nice priority\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? '0'
    // getrlimit(2): the ceiling of the nice value is 20 - limit.
    return 20 - Number(limit) <= getPriority()
  } catch {
    return false
  }
}

/** Lowers the priority of the calling thread. On Linux, process 0 means the calling thread, see setpriority(2). */
export function lowerThreadPriority(): void {
  setPriority(0, LOW_NICE)
}

/** The same for as long as the thread lives: {@link restoreThreadPriority} leaves it alone. */
export function keepThreadPriorityLow(): void {
  setPriority(0, LOW_NICE + 1)
}

/** Lowers the priority of a process that has just been started. One that has ended by now has none. */
export function lowerPriorityOf(pid: number): void {
  try {
    setPriority(pid, LOW_NICE)
  } catch {
    // Its end is reported by itself.
  }
}

/** Undoes {@link lowerThreadPriority}, also for threads that were started meanwhile and inherited the low priority. */
export function restoreThreadPriority(nice: number): void {
  setPriority(0, nice)
  for (const task of readdirSync('/proc/self/task')) {
    try {
      if (statField(`/proc/self/task/${task}/stat`, 19) === LOW_NICE) setPriority(Number(task), nice)
    } catch {
      // The thread has ended meanwhile.
    }
  }
}
