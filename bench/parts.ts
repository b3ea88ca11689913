/**
 * What the parts of a prediction cost that routing, evidence, receipts and records have added, each alone and in one process:
 *
 *     npm run bench:parts [-- --rounds 9] [--only route,receipt] [--list]
 *
 * Rounds go through all parts in turn; CPU time (with that of garbage collection), medians of the rounds. Half a minute. In a server the
 * same code shares its caches with all else, and takes more.
 */
import { createHmac } from 'node:crypto'
import { shareOut } from '../src/contract/ranges.ts'
import { QuantileSketch } from '../src/contract/statistics/quantile-sketch.ts'
import { unitHash, Units } from '../src/contract/statistics/units.ts'
import { systemClock } from '../src/core/clock.ts'
import { createIds } from '../src/core/ids.ts'
import { silentLogger } from '../src/core/log.ts'
import { newReceiptKey } from '../src/security/receipts.ts'
import { Taps } from '../src/serving/observe/taps.ts'
import { Receipts } from '../src/serving/receipts.ts'
import { RecordCounts } from '../src/serving/records/record-counts.ts'
import { Recorder } from '../src/serving/records/recorder.ts'
import { Router } from '../src/serving/router/router.ts'
import { readBenchOptions } from './options.ts'
import { markdownTable, median, rangeOf } from './table.ts'
import type { Facts } from '../src/contract/audience.ts'
import type { RequestContext } from '../src/serving/context.ts'
import type { RecorderOptions } from '../src/serving/records/recorder.ts'
import type { Tensor } from '../src/tensor/tensor.ts'
import type { Decision } from '../src/serving/router/decision.ts'

interface Part {
  readonly id: string
  readonly what: string
  /** Does it so many times. @returns something that depends on all of them, so that none is left out */
  readonly work: (times: number) => number
  /** How often in a round. */
  readonly times: number
  /** Id of the part that is done in another way here: its time is divided by this one's. */
  readonly peerOf?: string
}

const UNITS = Array.from({ length: 20_000 }, (_, index) => `customer-${index}`)
const unitOf = (index: number): string => UNITS[index % UNITS.length]!

/** Decisions of one endpoint with a canary of 5 %. */
function routes(): Part[] {
  const variants = ['main', 'next'].map((name) => ({ spec: { name, version: name === 'main' ? '1' : '2' } }))
  const weights = { main: 95, next: 5 }
  const routing = { weights, salt: 'salt', segment: 2, ranges: shareOut(weights, shareOut({ main: 100 })) }
  const plain = new Router('churn', variants, routing)
  const asking = new Router('churn', variants, {
    ...routing,
    units: [{ header: 'x-customer' }],
    rules: [{ variant: 'next', all: [{ header: 'x-team', is: ['beta', 'staff'] }] }],
  })
  const none = (): undefined => undefined
  const facts = UNITS.map((unit): Facts => ({
    header: (name) => (name === 'x-customer' ? unit : undefined),
    cookie: none,
    query: none,
    field: none,
  }))
  const decided =
    (decide: (index: number) => { readonly decision: Decision } | undefined) =>
    (times: number): number => {
      let canaries = 0
      for (let index = 0; index < times; index++) if (decide(index)!.decision.assigned === 'next') canaries++
      return canaries
    }
  const times = 200_000
  return [
    { id: 'route.chance', what: 'decision by chance', times, work: decided(() => plain.decide({})) },
    { id: 'route.unit', what: 'decision by a unit', times, work: decided((index) => plain.decide({ unit: unitOf(index) })) },
    {
      id: 'route.rule',
      what: 'decision where a rule is asked first, and the unit is read from a header',
      times,
      work: decided((index) => asking.decide({ facts: facts[index % facts.length]! })),
    },
  ]
}

function receipts(): Part[] {
  const key = newReceiptKey()
  const writer = new Receipts(key)
  const nextId = createIds()
  const subject = { endpoint: 'churn', variant: 'main', model: 'churn', version: '3' }
  const decision: Decision = {
    endpoint: 'churn',
    assigned: 'main',
    served: 'main',
    segment: 2,
    assignment: 'randomised',
    unit: undefined,
    point: 0.5,
    edges: undefined,
  }
  const made = { decision, subject, evidence: true, numeric: false, predicted: 1 }
  const [, place = ''] = writer.write(nextId(), made).split('.')
  const written =
    (write: (index: number) => string) =>
    (times: number): number => {
      let characters = 0
      for (let index = 0; index < times; index++) characters += write(index).charCodeAt(80)
      return characters
    }
  const times = 50_000
  return [
    { id: 'receipt', what: 'receipt', times, work: written(() => writer.write(nextId(), made)) },
    {
      id: 'receipt.unit',
      what: 'receipt with a unit',
      times,
      work: written((index) => writer.write(nextId(), { ...made, decision: { ...decision, unit: unitOf(index) } })),
    },
    {
      id: 'receipt.hmac',
      what: 'the same receipt, signed by HMAC-SHA-256 of node:crypto',
      peerOf: 'receipt',
      times: times / 5,
      work: written(() => {
        const text = `${nextId()}.${place}.~1`
        return `${text}.${createHmac('sha256', key.secret).update(text).digest('hex').slice(0, 16)}`
      }),
    },
  ]
}

function statistics(): Part[] {
  const values = Float64Array.from({ length: 65_536 }, () => Math.exp(3 * Math.random()))
  return [
    {
      id: 'sketch',
      what: 'observation of a quantile sketch',
      times: 2_000_000,
      work(times) {
        const sketch = new QuantileSketch()
        for (let index = 0; index < times; index++) sketch.observe(values[index & 65_535]!)
        return sketch.snapshot().max
      },
    },
    {
      id: 'units',
      what: `event of a unit in a set (its hash, and one of ${UNITS.length} units)`,
      times: 200_000,
      work(times) {
        const set = new Units()
        for (let index = 0; index < times; index++) set.add(unitHash(unitOf(index)), index)
        return set.snapshot().limit
      },
    },
  ]
}

/** Records of requests of one row with twenty numbers, and two outputs. */
function records(): Part[] {
  const subject = { endpoint: 'churn', variant: 'main', model: 'churn', version: '3' }
  const signature = { features: undefined, inputs: [{ name: 'features' }], outputs: [{ name: 'label' }, { name: 'probabilities' }] }
  const loaded = { signature, serving: { records: 1, recordsDrop: [], recordsHash: [] }, package: { document: {} } }
  const taps = new Taps()
  let characters = 0
  const recorder = new Recorder({
    dataPlane: { taps, variants: () => [{ subject, loaded }], watch: () => () => {} } as unknown as RecorderOptions['dataPlane'],
    spool: { add: (line: string) => void (characters += line.length), closeFile: () => Promise.resolve() },
    counts: new RecordCounts(),
    hashKey: new Uint8Array(32),
    clock: systemClock,
    log: silentLogger,
  })
  const inputs: Tensor[] = [
    { name: 'features', datatype: 'FP32', shape: [1, 20], data: Float32Array.from({ length: 20 }, () => Math.random()) },
  ]
  const outputs: Tensor[] = [
    { name: 'label', datatype: 'INT64', shape: [1], data: BigInt64Array.of(1n) },
    { name: 'probabilities', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(0.25, 0.75) },
  ]
  const nextId = createIds()
  const decision = {
    endpoint: 'churn',
    assigned: 'main',
    served: 'main',
    segment: 2,
    assignment: 'only',
    unit: undefined,
    point: undefined,
  }
  return [
    {
      id: 'record',
      what: 'prediction record, copies and line together (churn: twenty numbers)',
      times: 5000,
      work(times) {
        for (let index = 0; index < times; index++) {
          const startedMs = systemClock.monotonicMs()
          const context = { predictionId: nextId(), decision, startedMs, deadlineMs: startedMs + 1000 } as RequestContext
          taps.open({ context, subject, inputs, rows: 1 })!(outputs)
        }
        // What waits is written before it returns.
        void recorder.flush()
        return characters
      },
    },
  ]
}

const parts = [...routes(), ...receipts(), ...statistics(), ...records()]
const options = readBenchOptions(
  'npm run bench:parts [-- --rounds 9] [--only route,receipt] [--list]',
  parts.map(({ id }) => id),
  { rounds: { value: 9, least: 1 } },
)
if (options !== undefined)
  measure(
    parts.filter(({ id }) => options.wanted(id)),
    options.numbers.rounds,
  )

function measure(wanted: readonly Part[], rounds: number): void {
  const found = new Map<string, number[]>(wanted.map(({ id }) => [id, []]))
  let sum = 0
  for (let round = -1; round < rounds; round++)
    for (const { id, work, times } of wanted) {
      const began = process.cpuUsage()
      sum += work(times)
      const { user, system } = process.cpuUsage(began)
      // In the first round code is compiled.
      if (round >= 0) found.get(id)!.push((1000 * (user + system)) / times)
    }
  if (Number.isNaN(sum)) throw new Error('a part has come to no number')
  console.log(`Node ${process.version}, ${rounds} rounds, CPU time\n`)
  console.log(
    markdownTable(
      ['part', 'median', 'rounds', ''],
      wanted.map(({ id, what, peerOf }) => {
        const own = found.get(id)!
        const [least, most] = rangeOf(own).map(time)
        const other = peerOf === undefined ? undefined : found.get(peerOf)
        const ratio = other === undefined ? '' : `${median(own.map((ns, round) => ns / other[round]!)).toFixed(1)} times \`${peerOf}\``
        return [what, time(median(own)), `${least} to ${most}`, ratio]
      }),
    ),
  )
}

function time(ns: number): string {
  return ns < 1000 ? `${ns.toFixed(0)} ns` : `${(ns / 1000).toFixed(2)} us`
}
