/** What the kernel tells of the machine and of processes. Linux. */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'

/** Length of the kernel's clock tick in what user programs see. */
const TICK_MS = 10

export interface MachineReport {
  readonly node: string
  readonly cpu: string
  readonly cores: number
  readonly loadBefore: readonly number[]
  /** Share of the whole machine that was busy before anything of ours ran. */
  readonly busyBefore: number
}

/** Looks at the machine for two seconds, before anything of ours runs. */
export async function reportMachine(): Promise<MachineReport> {
  const loadBefore = loadavg()
  const before = machineTicks()
  await new Promise((resolve) => setTimeout(resolve, 2000))
  const after = machineTicks()
  return {
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    loadBefore,
    busyBefore: (after.busy - before.busy) / Math.max(1, after.all - before.all),
  }
}

/**
 * Milliseconds that a fixed piece of work takes, the best of three. Virtual machines share their cores with others unseen:
 * the same work then takes longer, though nothing here is busy.
 */
export function paceMs(): number {
  let best = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 3; attempt++) {
    const started = performance.now()
    let state = 1
    for (let step = 0; step < 4_000_000; step++) state = (Math.imul(state, 1_103_515_245) + 12_345) | 0
    if (state === 0) throw new Error('the generator never comes to zero here')
    best = Math.min(best, performance.now() - started)
  }
  return best
}

/** Time of all cores since boot, in ticks. What a hypervisor took away counts as busy. */
function machineTicks(): { busy: number; all: number } {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? ''
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number)
  const busy = user + nice + system + irq + softirq + steal
  return { busy, all: busy + idle + iowait }
}

/** The fields of /proc/PID/stat after the name, which may itself hold spaces. */
function statFields(pid: number | 'self'): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** CPU time of all threads of a process, milliseconds. */
function cpuMs(pid: number): number {
  const fields = statFields(pid)
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** CPU time of this process and of its children that have ended, milliseconds. */
function ownCpuMs(): number {
  const fields = statFields('self')
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) * TICK_MS
}

/** A process and all its descendants. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      parents.set(Number(name), Number(statFields(Number(name))[1]))
    } catch {
      // It has ended meanwhile.
    }
  }
  const tree = [root]
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child)
  return tree
}

/** CPU time spent between its making and `stop`. */
export class CpuWatch {
  readonly #pids: readonly number[]
  readonly #server: number
  readonly #own: number
  readonly #machine: { busy: number; all: number }

  constructor(pids: readonly number[]) {
    this.#pids = pids
    this.#server = sum(pids)
    this.#own = ownCpuMs()
    this.#machine = machineTicks()
  }

  /** `othersShare`: what neither the server nor the load generator used, as a share of the whole machine. */
  stop(): { serverMs: number; othersShare: number } {
    const serverMs = sum(this.#pids) - this.#server
    const ownMs = ownCpuMs() - this.#own
    const machine = machineTicks()
    const all = (machine.all - this.#machine.all) * TICK_MS
    const busy = (machine.busy - this.#machine.busy) * TICK_MS
    return { serverMs, othersShare: Math.max(0, busy - serverMs - ownMs) / Math.max(1, all) }
  }
}

function sum(pids: readonly number[]): number {
  return pids.reduce((total, pid) => total + cpuMs(pid), 0)
}

/** Resident memory of processes, MiB: `rss` counts a shared page in each, `pss` by its share. */
export function residentMemory(pids: readonly number[]): { rss: number; pss: number } {
  const total = { rss: 0, pss: 0 }
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    total.rss += Number(/^Rss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024
    total.pss += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024
  }
  return total
}

/** The memory of a process by what it is, MiB of Pss (a page that n processes share counts 1/n). */
export interface Memory {
  readonly pss: number
  readonly parts: Readonly<
    Record<'node binary' | 'ONNX Runtime' | 'other files' | 'heap (malloc)' | 'anonymous (V8, arenas, stacks)', number>
  >
}

export function memoryOf(pids: readonly number[]): Memory {
  const parts = { 'node binary': 0, 'ONNX Runtime': 0, 'other files': 0, 'heap (malloc)': 0, 'anonymous (V8, arenas, stacks)': 0 }
  const { pss } = residentMemory(pids)
  for (const pid of pids) {
    let part: keyof typeof parts = 'other files'
    for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
      const mapping = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$/.exec(line)
      if (mapping !== null) part = partOf(mapping[1] ?? '')
      else if (line.startsWith('Pss:')) parts[part] += Number(/\d+/.exec(line)?.[0]) / 1024
    }
  }
  return { pss, parts }
}

function partOf(path: string): keyof Memory['parts'] {
  if (path === '[heap]') return 'heap (malloc)'
  if (path === '' || path.startsWith('[')) return 'anonymous (V8, arenas, stacks)'
  if (path.endsWith('/node')) return 'node binary'
  return /onnxruntime/.test(path) ? 'ONNX Runtime' : 'other files'
}
