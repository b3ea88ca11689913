/** What clients see of a switch from one version of a model to another, and whether many of them leave memory behind. */
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { processTree, residentMemory } from '../machine.ts'
import { median, rangeOf } from '../table.ts'
import { administer, bodyOf, closedLoop, CONNECTIONS, note, pause, serve, warmUp } from './bench.ts'
import { quantile } from './figures.ts'
import { openLoop } from './open-loop.ts'
import type { RunningServer } from '../servers.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'
import type { Shot } from './open-loop.ts'

const SHARE_OF_CAPACITY = 0.6
const LIGHT_PER_SECOND = 50
/** An open-loop load takes so many times as long as a closed one. */
const LENGTH = 6
const SETTLE_MS = 2000
const BETWEEN_MS = 3000
/** How long after a switch its consequences are looked for. */
const AFTER_MS = 1000
const SWAPS_BEFORE = 5
const SWAPS_AFTER = 50
const MEMORY_ROUNDS_MAX = 3

interface Times {
  readonly load_ms: number
  readonly warm_up_ms: number
  readonly switch_ms: number
  readonly drain_ms: number
}

interface Switch {
  readonly fromMs: number
  /** When the old version had ended. */
  readonly toMs: number
  readonly times: Times
}

/** Switches between two copies of a model. */
class Swaps {
  readonly #folder: string
  #count = 0

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async copies({ models, scratch }: OperationsBench): Promise<Swaps> {
    const folder = join(scratch, 'swap')
    await mkdir(folder, { recursive: true })
    for (const copy of ['even', 'odd']) await cp(join(models, 'conv.onnx'), join(folder, `${copy}.onnx`))
    return new Swaps(folder)
  }

  serve(bench: OperationsBench): Promise<RunningServer> {
    this.#count = 0
    return serve(bench, 'conv', {}, [`conv=${join(this.#folder, 'even.onnx')}`])
  }

  async swap(server: RunningServer): Promise<Switch> {
    const path = join(this.#folder, `${++this.#count % 2 === 0 ? 'even' : 'odd'}.onnx`)
    const fromMs = Date.now()
    const { times } = (await administer(server, '/admin/switch_model', { model: 'conv', model_path: path })) as { times: Times }
    return { fromMs, toMs: Date.now(), times }
  }
}

interface Round {
  readonly perSecond: number
  readonly switches: readonly Switch[]
  readonly during: readonly Shot[]
  readonly control: readonly Shot[]
  readonly failed: number
}

/** One open-loop load with switches in it. */
async function round(bench: OperationsBench, swaps: Swaps, server: RunningServer): Promise<Round> {
  const body = await bodyOf(bench, 'conv', 'binary')
  const capacity = await closedLoop(bench, server, { model: 'conv', body })
  const perSecond = capacity.perSecond * SHARE_OF_CAPACITY
  const seconds = Math.max(bench.seconds * LENGTH, 12)
  const shooting = openLoop({
    url: server.url('conv'),
    body,
    perSecond,
    seconds,
    ahead: 256,
    connections: 2000,
    file: join(bench.scratch, 'shots'),
  })
  const started = Date.now()
  const switching = (async () => {
    await pause(SETTLE_MS + BETWEEN_MS)
    const switches: Switch[] = []
    // The last one has its consequences within the load.
    while (Date.now() < started + (seconds - 2) * 1000 - AFTER_MS) {
      switches.push(await swaps.swap(server))
      await pause(BETWEEN_MS)
    }
    return switches
  })()
  const [{ shots }, switches] = await Promise.all([shooting, switching])
  const settled = shots.filter((shot) => shot.dueMs > shots[0]!.dueMs + SETTLE_MS)
  const within = ({ dueMs }: Shot): boolean => switches.some(({ fromMs, toMs }) => dueMs >= fromMs && dueMs <= toMs + AFTER_MS)
  return {
    perSecond,
    switches,
    during: settled.filter(within),
    control: settled.filter((shot) => !within(shot)),
    failed: shots.filter((shot) => shot.status !== 200).length + capacity.errors,
  }
}

function latency(shots: readonly Shot[], share: number): number {
  return quantile(
    shots.map((shot) => shot.latencyMs),
    share,
  )
}

function describe(shots: readonly Shot[]): string {
  const late = quantile(
    shots.map((shot) => shot.lateMs),
    0.99,
  )
  return `p50 ${latency(shots, 0.5).toFixed(2)} ms, p99 ${latency(shots, 0.99).toFixed(2)} ms (${shots.length} requests, p99 of the generator's own lateness ${late.toFixed(2)} ms)`
}

async function measureLatency(bench: OperationsBench): Promise<Figure[]> {
  const swaps = await Swaps.copies(bench)
  const rounds: Round[] = []
  let first: Round | undefined
  {
    await using server = await swaps.serve(bench)
    await warmUp(bench, server, { model: 'conv', body: await bodyOf(bench, 'conv', 'binary') })
    // The first has a figure of its own: its code is still being compiled, and servers run for years.
    for (let index = 0; index <= bench.rounds; index++) {
      const found = await round(bench, swaps, server)
      if (index > 0) rounds.push(found)
      else first = found
      note(
        `swap ${index === 0 ? 'first round' : `${index}/${bench.rounds}`}: ${found.perSecond.toFixed(0)} req/s, ${found.switches.length} switches; during ${describe(found.during)}; else ${describe(found.control)}; ${found.failed} failed`,
      )
    }
  }
  const during = rounds.flatMap((found) => found.during)
  const control = rounds.flatMap((found) => found.control)
  const switches = rounds.flatMap((found) => found.switches)
  const failed = rounds.reduce((sum, found) => sum + found.failed, first!.failed)
  const took = switches.map(({ fromMs, toMs }) => toMs - fromMs)
  const times = (['load_ms', 'warm_up_ms', 'switch_ms', 'drain_ms'] as const).map(
    (name) => `${name} ${median(switches.map((each) => each.times[name])).toFixed(2)}`,
  )
  const shared = { errors: 0 }
  return [
    {
      ...shared,
      id: 'ops.swap.p99',
      what: `conv, binary, at ${SHARE_OF_CAPACITY * 100} % of capacity, rounds after the first: p99 from the start of a switch until 1 s after the old version's end, against the p99 of all other time`,
      value: latency(during, 0.99) / latency(control, 0.99),
      unit: '',
      range: rangeOf(rounds.map((found) => latency(found.during, 0.99) / latency(found.control, 0.99))),
      target: { bound: 'max', value: 1.25 },
      from: `pooled over ${rounds.length} rounds and ${switches.length} switches; during ${describe(during)}; else ${describe(control)}; ${median(rounds.map((found) => found.perSecond)).toFixed(0)} req/s`,
    },
    {
      ...shared,
      id: 'ops.swap.first',
      what: 'the same in the first round of the server, which is not counted above',
      value: latency(first!.during, 0.99) / latency(first!.control, 0.99),
      unit: '',
      range: rangeOf([latency(first!.during, 0.99) / latency(first!.control, 0.99)]),
      target: undefined,
      from: `${first!.switches.length} switches; during ${describe(first!.during)}; else ${describe(first!.control)}`,
    },
    {
      ...shared,
      id: 'ops.swap.failures',
      what: 'requests that failed meanwhile, in every round',
      value: failed,
      unit: ' failed',
      range: rangeOf(rounds.map((found) => found.failed)),
      target: { bound: 'max', value: 0 },
      from: `of ${during.length + control.length + first!.during.length + first!.control.length} requests`,
    },
    {
      ...shared,
      id: 'ops.swap.time',
      what: 'a switch under this load, from the call to its answer',
      value: median(took),
      unit: ' ms',
      range: rangeOf(took),
      target: undefined,
      from: `medians: ${times.join(', ')}`,
    },
  ]
}

async function measureMemory(bench: OperationsBench): Promise<Figure[]> {
  const swaps = await Swaps.copies(bench)
  const body = await bodyOf(bench, 'conv', 'binary')
  const found: { before: { rss: number; pss: number }; after: { rss: number; pss: number }; failed: number }[] = []
  for (let index = 0; index < Math.min(bench.rounds, MEMORY_ROUNDS_MAX); index++) {
    await using server = await swaps.serve(bench)
    const load = {
      url: server.url('conv'),
      body,
      perSecond: LIGHT_PER_SECOND,
      ahead: CONNECTIONS,
      connections: CONNECTIONS,
      file: join(bench.scratch, 'shots'),
    }
    let failed = 0
    const ended = new AbortController()
    const loading = (async () => {
      while (!ended.signal.aborted) {
        const { shots } = await openLoop({ ...load, seconds: 5 })
        failed += shots.filter((shot) => shot.status !== 200).length
      }
    })()
    const after = async (count: number): Promise<{ rss: number; pss: number }> => {
      for (let swap = 0; swap < count; swap++) await swaps.swap(server)
      await pause(SETTLE_MS)
      return residentMemory(processTree(server.pid))
    }
    try {
      const few = await after(SWAPS_BEFORE)
      const many = await after(SWAPS_AFTER - SWAPS_BEFORE)
      found.push({ before: few, after: many, failed: 0 })
    } finally {
      ended.abort()
      await loading
    }
    found[index] = { ...found[index]!, failed }
    note(`swap memory ${index + 1}: ${JSON.stringify(found[index])}`)
  }
  const errors = found.reduce((sum, { failed }) => sum + failed, 0)
  return (['rss', 'pss'] as const).map((kind) => {
    const ratios = found.map(({ before, after }) => after[kind] / before[kind])
    const mib = (when: 'before' | 'after'): string => median(found.map((each) => each[when][kind])).toFixed(0)
    return {
      id: `ops.swap.${kind}`,
      what: `${kind === 'rss' ? 'RSS' : 'Pss'} after ${SWAPS_AFTER} switches against ${SWAPS_BEFORE}, at ${LIGHT_PER_SECOND} req/s`,
      value: median(ratios),
      unit: '',
      range: rangeOf(ratios),
      target: { bound: 'max', value: 1.15 },
      errors,
      from: `${mib('before')} MiB, ${mib('after')} MiB`,
    }
  })
}

export const SWAP: readonly Part[] = [
  { ids: ['ops.swap.p99', 'ops.swap.first', 'ops.swap.failures', 'ops.swap.time'], measure: measureLatency },
  { ids: ['ops.swap.rss', 'ops.swap.pss'], measure: measureMemory },
]
