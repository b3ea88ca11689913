import { readFileSync } from 'node:fs'

/** Length of the kernel's clock tick as user programs see it (USER_HZ, proc(5)). */
const TICK_MS = 10

/** Ticks of all cores since boot, and of this process with its children that have ended; undefined without /proc. */
interface Ticks {
  readonly all: number
  readonly busy: number
  readonly own: number
}

function now(): Ticks | undefined {
  try {
    const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? ''
    // Time that a hypervisor took away (steal) counts as busy.
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number)
    const busy = user + nice + system + irq + softirq + steal
    const text = readFileSync('/proc/self/stat', 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const own = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0)
    return { all: busy + idle + iowait, busy, own }
  } catch {
    return undefined
  }
}

/**
 * Watches how much of the machine other programs take, from this call on.
 * @returns their share of all cores (0 to 1), once all children have ended; undefined where the kernel does not report it
 */
export function watchOthers(): () => number | undefined {
  const before = now()
  return () => {
    const after = now()
    if (before === undefined || after === undefined || (after.all - before.all) * TICK_MS < 1000) return undefined
    return Math.max(0, after.busy - before.busy - (after.own - before.own)) / (after.all - before.all)
  }
}
