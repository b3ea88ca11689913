/**
 * Three times as many requests as a server can answer. Generator and server share the machine: what the generator takes of the
 * cores is missing to the server. So capacity is also measured beside a generator that sends at twice the capacity, as much as
 * is to be refused, to a program that reads and refuses, which costs about the least that refusing can.
 */
import { readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { CpuWatch, processTree } from '../machine.ts'
import { median, rangeOf } from '../table.ts'
import { bodyOf, closedLoop, note, serve, warmUp } from './bench.ts'
import { quantile } from './figures.ts'
import { openLoop } from './open-loop.ts'
import { requestBytes } from './raw-request.ts'
import { startSink } from './sink.ts'
import type { Load } from '../load.ts'
import type { RunningServer } from '../servers.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'
import type { Shot } from './open-loop.ts'

const TIMES_CAPACITY = 3
/** An overload takes so many times as long as a closed loop. */
const LENGTH = 2
/** Enough for a full queue, and for twice as many that are on their way. */
const CONNECTIONS_MAX = 3000
const CONNECTIONS_TO_SINK = 256
/** The least time that is left to the queue to fill. */
const FILL_SECONDS_MIN = 1
/** Default of serving.queueRequests. */
const QUEUE_REQUESTS = 1000
const GOAL_MS = 200

interface Round {
  readonly capacity: number
  readonly beside: number
  /** Answers with 200 a second, and requests sent a second. */
  readonly goodput: number
  readonly sent: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly lateMs: number
  /** How often each status came; 0: no answer. */
  readonly statuses: Readonly<Record<string, number>>
  /** Of the whole machine, from the first request to the last answer. */
  readonly generatorShare: number
  readonly serverShare: number
  /** The server's at capacity. */
  readonly capacityShare: number
  /** While capacity was measured. */
  readonly refusedInClosedLoop: number
  readonly errors: number
}

interface Capacity {
  /** With 200. */
  readonly perSecond: number
  readonly refused: number
}

/** A server with a latency goal may refuse even a few connections, on a machine that is slow this moment. */
function answeredOf({ requests, perSecond, errors }: Load): Capacity {
  return { perSecond: (perSecond * (requests - errors)) / Math.max(1, requests), refused: errors }
}

/** Capacity while requests are sent elsewhere that need as much of the machine as those that a server would refuse. */
async function capacityBeside(bench: OperationsBench, server: RunningServer, capacity: number): Promise<Capacity> {
  const body = await bodyOf(bench, 'conv', 'binary')
  const url = server.url('conv')
  await using sink = await startSink(requestBytes(url, body.headers, await readFile(body.file)).length)
  const refused = url.replace(server.origin, sink.origin)
  const shooting = openLoop({
    url: refused,
    body,
    perSecond: capacity * (TIMES_CAPACITY - 1),
    seconds: bench.seconds + 1,
    ahead: CONNECTIONS_TO_SINK,
    connections: CONNECTIONS_MAX,
    file: join(bench.scratch, 'refused'),
  })
  const [load, { shots }] = await Promise.all([closedLoop(bench, server, { model: 'conv', body }), shooting])
  const unrefused = shots.filter((shot) => shot.status !== 503).length
  if (unrefused > 0) throw new Error(`${unrefused} of ${shots.length} requests to the sink had no answer`)
  return answeredOf(load)
}

async function overload(bench: OperationsBench, server: RunningServer): Promise<Round> {
  const body = await bodyOf(bench, 'conv', 'binary')
  const alone = await closedLoop(bench, server, { model: 'conv', body })
  const capacity = answeredOf(alone)
  const beside = await capacityBeside(bench, server, capacity.perSecond)
  // What comes beyond capacity fills the queue; half as long again, because capacity is not known exactly.
  const fillSeconds = Math.max(FILL_SECONDS_MIN, (1.5 * QUEUE_REQUESTS) / (capacity.perSecond * (TIMES_CAPACITY - 1)))
  const seconds = fillSeconds + bench.seconds * LENGTH
  const watch = new CpuWatch(processTree(server.pid))
  const started = performance.now()
  const { shots, cpuMs } = await openLoop({
    url: server.url('conv'),
    body,
    perSecond: capacity.perSecond * TIMES_CAPACITY,
    seconds,
    ahead: CONNECTIONS_MAX,
    connections: CONNECTIONS_MAX,
    file: join(bench.scratch, 'shots'),
  })
  // Also the time in which the queue empties.
  const machineMs = (performance.now() - started) * cpus().length
  const { serverMs } = watch.stop()
  const fromMs = shots[0]!.dueMs + fillSeconds * 1000
  const toMs = shots.at(-1)!.dueMs
  const inside = (ms: number): boolean => ms >= fromMs && ms < toMs
  const answeredAt = ({ dueMs, latencyMs }: Shot): number => dueMs + latencyMs
  const admitted = shots.filter((shot) => shot.status === 200)
  const latencies = admitted.filter((shot) => inside(shot.dueMs)).map((shot) => shot.latencyMs)
  const statuses: Record<string, number> = {}
  for (const { status } of shots) statuses[status] = (statuses[status] ?? 0) + 1
  const perSecond = (count: number): number => count / ((toMs - fromMs) / 1000)
  return {
    capacity: capacity.perSecond,
    beside: beside.perSecond,
    goodput: perSecond(admitted.filter((shot) => inside(answeredAt(shot))).length),
    sent: perSecond(shots.filter((shot) => inside(shot.dueMs + shot.lateMs)).length),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    lateMs: quantile(
      shots.map((shot) => shot.lateMs),
      0.99,
    ),
    statuses,
    generatorShare: cpuMs / machineMs,
    serverShare: serverMs / machineMs,
    capacityShare: (alone.perSecond * alone.cpuUs) / 1e6 / cpus().length,
    refusedInClosedLoop: capacity.refused + beside.refused,
    errors: shots.filter((shot) => shot.status !== 200 && shot.status !== 503).length,
  }
}

async function measure(bench: OperationsBench, kind: 'queue' | 'goal'): Promise<Figure[]> {
  const rounds: Round[] = []
  {
    await using server = await serve(bench, 'conv', kind === 'goal' ? { SLIPWAY_SERVING_LATENCY_GOAL_MS: String(GOAL_MS) } : {})
    await warmUp(bench, server, { model: 'conv', body: await bodyOf(bench, 'conv', 'binary') })
    for (let index = 0; index < bench.rounds; index++) {
      const found = await overload(bench, server)
      rounds.push(found)
      note(
        `overload ${kind} ${index + 1}/${bench.rounds}: ${JSON.stringify(found, (_, value: unknown) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value))}`,
      )
    }
  }
  return figures(kind, rounds)
}

function figures(kind: 'queue' | 'goal', rounds: readonly Round[]): Figure[] {
  const middle = (of: (found: Round) => number): number => median(rounds.map(of))
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
  const perSecond = (of: (found: Round) => number): string => `${middle(of).toFixed(0)} req/s`
  const statuses: Record<string, number> = {}
  for (const found of rounds)
    for (const [status, count] of Object.entries(found.statuses)) statuses[status] = (statuses[status] ?? 0) + count
  const closedLoopRefusals = rounds.reduce((sum, found) => sum + found.refusedInClosedLoop, 0)
  // Only a goal is a reason to refuse some of a few connections.
  const errors = rounds.reduce((sum, found) => sum + found.errors, 0) + (kind === 'queue' ? closedLoopRefusals : 0)
  const name = kind === 'queue' ? 'default queue' : `latency goal ${GOAL_MS} ms`
  const bound =
    kind === 'queue'
      ? `${QUEUE_REQUESTS} requests in the queue at this goodput are ${middle((found) => (QUEUE_REQUESTS / found.goodput) * 1000).toFixed(0)} ms, at capacity ${middle((found) => (QUEUE_REQUESTS / found.capacity) * 1000).toFixed(0)} ms`
      : `the goal is ${GOAL_MS} ms in the server`
  const figure = (id: string, what: string, of: (found: Round) => number, rest: Pick<Figure, 'unit' | 'target' | 'from'>): Figure => ({
    id: `ops.overload.${kind}.${id}`,
    what: `conv, binary, ${TIMES_CAPACITY} x capacity, ${name}: ${what}`,
    value: middle(of),
    range: rangeOf(rounds.map(of)),
    errors,
    ...rest,
  })
  const target = { bound: 'min', value: 0.9 } as const
  return [
    figure('goodput', '200s a second against capacity', (found) => found.goodput / found.capacity, {
      unit: '',
      target,
      from: `${perSecond((found) => found.goodput)}, capacity ${perSecond((found) => found.capacity)}; the generator took ${percent(middle((found) => found.generatorShare))} of the machine, the server ${percent(middle((found) => found.serverShare))}, and at capacity ${percent(middle((found) => found.capacityShare))}; statuses ${JSON.stringify(statuses)}; ${closedLoopRefusals} refused while capacity was measured`,
    }),
    figure(
      'goodput-beside',
      `200s a second against capacity beside a generator that sends ${TIMES_CAPACITY - 1} x capacity elsewhere`,
      (found) => found.goodput / found.beside,
      {
        unit: '',
        target,
        from: `${perSecond((found) => found.goodput)}, capacity beside the generator ${perSecond((found) => found.beside)}`,
      },
    ),
    figure('p50', 'p50 of the admitted', (found) => found.p50Ms, { unit: ' ms', target: undefined, from: bound }),
    figure('p99', 'p99 of the admitted', (found) => found.p99Ms, { unit: ' ms', target: undefined, from: bound }),
    figure(
      'p99-against',
      kind === 'queue'
        ? 'the same against the time that a full queue takes at the goodput of the same round'
        : `the same against the goal of ${GOAL_MS} ms`,
      (found) => found.p99Ms / (kind === 'queue' ? (QUEUE_REQUESTS / found.goodput) * 1000 : GOAL_MS),
      { unit: '', target: { bound: 'max', value: 1.5 }, from: bound },
    ),
    figure('lateness', "p99 of the generator's own lateness, part of the above", (found) => found.lateMs, {
      unit: ' ms',
      target: undefined,
      from: `${perSecond((found) => found.sent)} sent, ${perSecond((found) => found.capacity * TIMES_CAPACITY)} wanted`,
    }),
  ]
}

function part(kind: 'queue' | 'goal'): Part {
  const ids = ['goodput', 'goodput-beside', 'p50', 'p99', 'p99-against', 'lateness'].map((id) => `ops.overload.${kind}.${id}`)
  return { ids, measure: (bench) => measure(bench, kind) }
}

export const OVERLOAD: readonly Part[] = [part('queue'), part('goal')]
