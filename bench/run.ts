/**
 * The benchmark: Slipway as it is installed, against the yardsticks in bench/yardsticks. It prints one table and asserts
 * nothing; docs/benchmarks.md says how to read it.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianBinary } from '../scripts/debian-package.ts'
import { pythonEnv } from '../scripts/python-env.ts'
import { measureLoad } from './load.ts'
import { memoryOf, paceMs, processTree, reportMachine } from './machine.ts'
import { MODELS, obtainModels, requestBody } from './models.ts'
import { readBenchOptions } from './options.ts'
import { fastapiServer, floorServer, launch, packSlipway, slipwayServer, timeHelp } from './servers.ts'
import { formatTable, median, rangeOf } from './table.ts'
import { temporaryFolder } from './temporary.ts'
import type { Load } from './load.ts'
import type { MachineReport, Memory } from './machine.ts'
import type { Encoding, ModelName } from './models.ts'
import type { Launch, RunningServer } from './servers.ts'
import type { Row } from './table.ts'

const USAGE = `npm run bench -- [options]
  --rounds N       rounds of interleaved measurements, at least 3 (default 3)
  --seconds N      length of one measurement (default 5)
  --warm-up N      load before a measurement, the first time on a server and model (default 3; later rounds take 1)
  --only TEXT,...  only rows whose id contains one of these texts
  --json FILE      also write everything that was measured
  --from-source    measure the sources, not the built package
  --list           print the ids of the rows
`

type ServerName = 'slipway' | 'floor' | 'fastapi' | 'batching-on' | 'batching-off'

/** One thing to measure in each round. */
interface Point {
  readonly server: ServerName
  readonly model: ModelName
  readonly encoding: Encoding
  readonly connections: number
}

const POINT = (server: ServerName, model: ModelName, connections: number, encoding: Encoding = 'json'): Point => ({
  server,
  model,
  encoding,
  connections,
})

function keyOf(point: Point): string {
  return `${point.server} ${point.model} ${point.encoding} c=${point.connections}`
}

/** A row that compares two measurements of the same round, or two figures of one. */
interface LoadRow {
  readonly id: string
  readonly what: string
  readonly points: readonly Point[]
  readonly measure: 'throughput' | 'p50' | 'tail'
  readonly target: NonNullable<Row['target']>
}

function throughput(id: string, what: string, points: readonly [Point, Point], least: number): LoadRow {
  return { id, what, points, measure: 'throughput', target: { bound: 'min', value: least } }
}

const LOAD_ROWS: readonly LoadRow[] = [
  throughput(
    'churn-floor',
    'churn, JSON, 32 connections: req/s against the floor',
    [POINT('slipway', 'churn', 32), POINT('floor', 'churn', 32)],
    0.9,
  ),
  throughput(
    'churn-fastapi',
    'churn, JSON, 32 connections: req/s against FastAPI',
    [POINT('slipway', 'churn', 32), POINT('fastapi', 'churn', 32)],
    6,
  ),
  throughput(
    'mlp-floor',
    'mlp, JSON, 32 connections: req/s against the floor',
    [POINT('slipway', 'mlp', 32), POINT('floor', 'mlp', 32)],
    1.1,
  ),
  throughput(
    'mlp-fastapi',
    'mlp, JSON, 32 connections: req/s against FastAPI',
    [POINT('slipway', 'mlp', 32), POINT('fastapi', 'mlp', 32)],
    4,
  ),
  throughput(
    'conv-floor',
    'conv, JSON, 32 connections: req/s against the floor',
    [POINT('slipway', 'conv', 32), POINT('floor', 'conv', 32)],
    1.1,
  ),
  throughput(
    'conv-binary-fastapi',
    'conv, binary, 32 connections: req/s against FastAPI with JSON',
    [POINT('slipway', 'conv', 32, 'binary'), POINT('fastapi', 'conv', 32)],
    2.5,
  ),
  throughput(
    'batching',
    'mlp, binary, 32 connections: req/s with batching against without',
    [POINT('batching-on', 'mlp', 32, 'binary'), POINT('batching-off', 'mlp', 32, 'binary')],
    2.5,
  ),
  ...MODELS.map((model): LoadRow => ({
    id: `latency-${model}`,
    what: `${model}, JSON, 1 connection: p50 against the floor`,
    points: [POINT('slipway', model, 1), POINT('floor', model, 1)],
    measure: 'p50',
    target: { bound: 'max', value: 1.3 },
  })),
  ...MODELS.map((model): LoadRow => ({
    id: `tail-${model}`,
    what: `${model}, JSON, 32 connections: p99 against p50`,
    points: [POINT('slipway', model, 32)],
    measure: 'tail',
    target: { bound: 'max', value: 3 },
  })),
]

/** Rows that are measured one server at a time, before the load. */
const OTHER_ROWS = ['start', 'memory', 'help'] as const

const START_REPEATS = 7
const HELP_REPEATS = 10
const WARM_UP_AGAIN_SECONDS = 1
const MIB_TO_MB = 1.048576
/** Beyond these the machine is not quiet. */
const BUSY_BEFORE = 0.1
const OTHERS_BUSY = 0.1
const PACE_SLOWER = 1.15

type Options = NonNullable<ReturnType<typeof readOptions>>

function readOptions() {
  const read = readBenchOptions(USAGE, [...LOAD_ROWS.map((row) => row.id), ...OTHER_ROWS], {
    rounds: { value: 3, least: 3 },
    seconds: { value: 5, least: 1 },
    'warm-up': { value: 3, least: 1 },
  })
  if (read === undefined) return undefined
  const { numbers, ...options } = read
  return { ...options, rounds: numbers.rounds, seconds: numbers.seconds, warmUp: numbers['warm-up'] }
}

/** What all measurements share. */
interface Bench {
  readonly options: Options
  readonly models: string
  readonly python: string
  readonly packed: string
  readonly scratch: string
}

async function measureStart(bench: Bench): Promise<{ rows: Row[]; raw: Record<string, number[]> }> {
  const { models, python, packed } = bench
  const sides: readonly Launch[] = [
    slipwayServer(packed, models, ['churn'], {}, 'Slipway, churn'),
    slipwayServer(packed, models, MODELS, {}, 'Slipway, three models'),
    floorServer(models),
    fastapiServer(models, python),
  ]
  const body = await readFile(join(models, 'churn.json'))
  const raw: Record<string, number[]> = Object.fromEntries(sides.map((side) => [side.name, []]))
  // The first start of each fills caches: of the disk, of compiled code.
  for (let repeat = 0; repeat <= START_REPEATS; repeat++) {
    for (const side of sides) {
      const server = await launch(side, { model: 'churn', body })
      if (repeat > 0) raw[side.name]?.push(server.firstAnswerMs)
      await server.stop()
    }
    note(`start ${repeat}/${START_REPEATS}`)
  }
  const [one = [], three = [], floor = [], fastapi = []] = sides.map((side) => raw[side.name])
  const milliseconds = (values: readonly number[]): string => `${median(values).toFixed(0)} ms`
  const row = (id: string, what: string, values: readonly number[], target: Row['target']): Row => ({
    id,
    what,
    slipway: milliseconds(values),
    other: `floor ${milliseconds(floor)}, FastAPI ${milliseconds(fastapi)}`,
    value: median(values),
    range: rangeOf(values),
    unit: ' ms',
    target,
    errors: 0,
  })
  return {
    rows: [
      row('start', 'start to first answer, churn (the others: three models)', one, { bound: 'max', value: 700 }),
      row('start', 'start to first answer, three models', three, undefined),
    ],
    raw,
  }
}

async function measureMemory(bench: Bench): Promise<{ row: Row; slipway: Memory; floor: Memory; fastapi: Memory }> {
  const { models, python, packed } = bench
  const body = await readFile(join(models, 'churn.json'))
  const once = async (side: Launch): Promise<Memory> => {
    const server = await launch(side, { model: 'churn', body })
    try {
      return memoryOf(processTree(server.pid))
    } finally {
      await server.stop()
    }
  }
  const slipway = await once(slipwayServer(packed, models, ['churn'], { SLIPWAY_SERVING_INSTANCES: '2' }))
  const floor = await once(floorServer(models))
  const fastapi = await once(fastapiServer(models, python))
  const mb = (memory: Memory): string => `${(memory.pss * MIB_TO_MB).toFixed(0)} MB`
  const row: Row = {
    id: 'memory',
    what: 'memory (Pss) after the first answer, churn in two instances (the others: three models)',
    slipway: mb(slipway),
    other: `floor ${mb(floor)}, FastAPI ${mb(fastapi)}`,
    value: slipway.pss * MIB_TO_MB,
    range: undefined,
    unit: ' MB',
    target: { bound: 'max', value: 180 },
    errors: 0,
  }
  return { row, slipway, floor, fastapi }
}

async function measureHelp({ packed }: Bench): Promise<Row> {
  await timeHelp(packed)
  const times: number[] = []
  for (let repeat = 0; repeat < HELP_REPEATS; repeat++) times.push(await timeHelp(packed))
  return {
    id: 'help',
    what: 'slipway --help',
    slipway: `${median(times).toFixed(0)} ms`,
    other: '',
    value: median(times),
    range: rangeOf(times),
    unit: ' ms',
    target: { bound: 'max', value: 150 },
    errors: 0,
  }
}

/** Measures every point in every round; within a round the sides of a row follow one another. */
async function measureLoads(bench: Bench, rows: readonly LoadRow[]): Promise<{ loads: Map<string, Load[]>; paces: number[] }> {
  const { options, models, python, packed, scratch } = bench
  // Sorted by what is sent, so that the sides of each comparison are neighbours in time.
  const points = [...new Map(rows.flatMap((row) => row.points).map((point) => [keyOf(point), point])).values()].toSorted((a, b) =>
    orderOf(a).localeCompare(orderOf(b)),
  )
  const batching = (value: 'on' | 'off'): Launch =>
    slipwayServer(
      packed,
      models,
      ['mlp'],
      { SLIPWAY_SERVING_BATCHING: value, SLIPWAY_SERVING_INSTANCES: '2', SLIPWAY_SERVING_INLINE_MAX_US: '0' },
      `Slipway, batching ${value}`,
    )
  const launches: Record<ServerName, () => Launch> = {
    slipway: () => slipwayServer(packed, models),
    floor: () => floorServer(models),
    fastapi: () => fastapiServer(models, python),
    'batching-on': () => batching('on'),
    'batching-off': () => batching('off'),
  }
  const servers = new Map<ServerName, RunningServer>()
  const paces: number[] = []
  const found = new Map<string, Load[]>(points.map((point) => [keyOf(point), []]))
  try {
    for (const name of new Set(points.map((point) => point.server))) {
      const model = name.startsWith('batching') ? 'mlp' : 'churn'
      servers.set(name, await launch(launches[name](), { model, body: await readFile(join(models, `${model}.json`)) }))
    }
    for (let round = 0; round < options.rounds; round++) {
      for (const point of round % 2 === 0 ? points : points.toReversed()) {
        const server = servers.get(point.server)
        if (server === undefined) continue
        const body = await requestBody(models, point.model, point.encoding, scratch)
        const load = { url: server.url(point.model), body, connections: point.connections, pid: server.pid, scratch }
        paces.push(paceMs())
        await measureLoad({ ...load, seconds: round === 0 ? options.warmUp : WARM_UP_AGAIN_SECONDS })
        const measured = await measureLoad({ ...load, seconds: options.seconds })
        found.get(keyOf(point))?.push(measured)
        note(`round ${round + 1}/${options.rounds}  ${keyOf(point).padEnd(32)} ${describeLoad(measured)}`)
      }
    }
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()))
  }
  return { loads: found, paces }
}

function orderOf(point: Point): string {
  return `${MODELS.indexOf(point.model)} ${point.connections} ${point.server.startsWith('batching') ? 1 : 0}`
}

function describeLoad(load: Load): string {
  const errors = load.errors > 0 ? `  ${load.errors} ERRORS` : ''
  return `${load.perSecond.toFixed(0).padStart(6)} req/s  p50 ${load.p50Ms.toFixed(2).padStart(6)} ms  p99 ${load.p99Ms.toFixed(2).padStart(7)} ms  CPU ${load.cpuUs.toFixed(1).padStart(6)} us/req  others ${percent(load.othersShare)}${errors}`
}

/** The ratio of each round, and their median: what disturbs the machine for a while disturbs both sides of a round. */
function loadRow(row: LoadRow, found: ReadonlyMap<string, readonly Load[]>): Row {
  const [ours = [], theirs = []] = row.points.map((point) => found.get(keyOf(point)) ?? [])
  const errors = [...ours, ...theirs].reduce((sum, load) => sum + load.errors, 0)
  const ratios = ours.map((load, round) => ratio(row.measure, load, theirs[round]))
  const show = (loads: readonly Load[]): string =>
    row.measure === 'throughput'
      ? `${median(loads.map((load) => load.perSecond)).toFixed(0)} req/s`
      : `p50 ${median(loads.map((load) => load.p50Ms)).toFixed(2)} ms`
  const { id, what, target } = row
  const other = row.measure === 'tail' ? '' : show(theirs)
  const slipway = row.measure === 'tail' ? `p99 ${median(ours.map((load) => load.p99Ms)).toFixed(2)} ms, ${show(ours)}` : show(ours)
  return { id, what, slipway, other, value: median(ratios), range: rangeOf(ratios), unit: '', target, errors }
}

function ratio(measure: LoadRow['measure'], ours: Load, theirs: Load | undefined): number {
  if (measure === 'tail') return ours.p99Ms / ours.p50Ms
  if (theirs === undefined) return Number.NaN
  return measure === 'p50' ? ours.p50Ms / theirs.p50Ms : ours.perSecond / theirs.perSecond
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)}%`
}

function note(text: string): void {
  console.error(text)
}

function describeMachine(machine: MachineReport): string {
  const load = machine.loadBefore.map((value) => value.toFixed(2)).join(' ')
  return `Node ${machine.node}, ${machine.cores} x ${machine.cpu}\nload average before the start: ${load}; ${percent(machine.busyBefore)} of the machine busy`
}

function quietness(machine: MachineReport, loads: readonly Load[], paces: readonly number[]): string {
  const shares = loads.map((load) => load.othersShare)
  const typicalShare = shares.length === 0 ? 0 : median(shares)
  const best = Math.min(...paces)
  const slower = paces.map((pace) => pace / best)
  const typicalPace = paces.length === 0 ? 1 : median(slower)
  const quiet = machine.busyBefore < BUSY_BEFORE && typicalShare < OTHERS_BUSY && typicalPace < PACE_SLOWER
  const lines = [`The machine was ${quiet ? 'quiet' : 'NOT QUIET: single figures say little, ratios more'}.`]
  if (loads.length > 0) {
    lines.push(
      `Other programs took ${percent(typicalShare)} of it during the measurements (median), ${percent(Math.max(...shares))} at most.`,
    )
    lines.push(
      `A fixed piece of work took ${typicalPace.toFixed(2)} times its best (median), ${Math.max(...slower).toFixed(2)} times at most: what neighbours on the same hardware cost.`,
    )
  }
  return lines.join('\n')
}

function describeMemory(name: string, memory: Memory): string {
  const parts = Object.entries(memory.parts).map(([part, mib]) => `${part} ${(mib * MIB_TO_MB).toFixed(0)} MB`)
  return `  ${name}: ${(memory.pss * MIB_TO_MB).toFixed(0)} MB = ${parts.join(', ')}`
}

function describeCpu(found: ReadonlyMap<string, readonly Load[]>): string {
  const lines = [...found].map(
    ([key, loads]) =>
      `  ${key.padEnd(32)} ${median(loads.map((load) => load.cpuUs))
        .toFixed(1)
        .padStart(7)} us/req`,
  )
  return `CPU time of the server for each request (medians):\n${lines.join('\n')}`
}

async function main(): Promise<void> {
  const options = readOptions()
  if (options === undefined) return
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc: it runs on Linux only')
  const machine = await reportMachine()
  console.log(describeMachine(machine))
  await debianBinary('wrk')
  const python = await pythonEnv('bench')
  const models = await obtainModels(python)
  const scratch = temporaryFolder('slipway-bench-files')
  const packed = await packSlipway(options.fromSource)
  const bench: Bench = { options, models, python, packed: packed.folder, scratch }
  try {
    const rows: Row[] = []
    const start = options.wanted('start') ? await measureStart(bench) : undefined
    const memory = options.wanted('memory') ? await measureMemory(bench) : undefined
    const help = options.wanted('help') ? await measureHelp(bench) : undefined
    const loadRows = LOAD_ROWS.filter((row) => options.wanted(row.id))
    const { loads, paces } = await measureLoads(bench, loadRows)
    for (const row of loadRows) rows.push(loadRow(row, loads))
    if (start !== undefined) rows.push(...start.rows)
    if (memory !== undefined) rows.push(memory.row)
    if (help !== undefined) rows.push(help)
    if (rows.length === 0) throw new Error('--only names no row; --list prints their ids')
    console.log(
      `${options.rounds} rounds of ${options.seconds} s, medians${options.fromSource ? '; from source' : ''}\n\n${formatTable(rows)}\n`,
    )
    if (memory !== undefined)
      console.log(
        `Memory:\n${describeMemory('Slipway', memory.slipway)}\n${describeMemory('floor', memory.floor)}\n${describeMemory('FastAPI', memory.fastapi)}\n`,
      )
    if (loads.size > 0) console.log(`${describeCpu(loads)}\n`)
    console.log(quietness(machine, [...loads.values()].flat(), paces))
    if (options.json !== undefined)
      await writeFile(
        options.json,
        `${JSON.stringify({ machine, options: { rounds: options.rounds, seconds: options.seconds, fromSource: options.fromSource }, rows, loads: Object.fromEntries(loads), paces, start: start?.raw, memory }, undefined, 2)}\n`,
      )
  } finally {
    await packed.remove()
    await rm(scratch, { recursive: true, force: true })
  }
}

try {
  await main()
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
