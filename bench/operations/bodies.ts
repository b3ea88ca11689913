/**
 * Others while somebody sends the largest bodies that are allowed, one after the other: how long small requests of a fixed rate take then,
 * and how long they take alone.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { median, rangeOf } from '../table.ts'
import { bodyOf, note, serve, warmUp } from './bench.ts'
import { quantile } from './figures.ts'
import { openLoop } from './open-loop.ts'
import type { RunningServer } from '../servers.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'

/** Small requests a second: a tenth of what the server can answer. */
const PER_SECOND = 300
const CONNECTIONS = 256
/** Default of limits.bodyBytes and limits.rows. */
const BODY_BYTES = 64 * 1024 * 1024
const ROWS = 100_000

interface Large {
  readonly what: string
  readonly path: string
  readonly type: string
  readonly body: string
  readonly status: number
}

/** The input of the sample request: one row. */
interface Sample {
  readonly name: string
  readonly data: readonly number[]
}

/** Bodies that are read to the end, or as far as one of their size can be. */
function largest({ name, data: row }: Sample): Large[] {
  const rows = (count: number, text: string, join: string): string => Array.from({ length: count }, () => text).join(join)
  const number = '1.25,'
  const json = 'application/json'
  const features = row.length
  const elements = Math.floor(BODY_BYTES / number.length / features) * features - features * 100
  const v2 = (count: number): string =>
    `{"inputs":[{"name":"${name}","datatype":"FP32","shape":[${count / features},${features}],"data":[${number.repeat(count).slice(0, -1)}]}]}`
  return [
    {
      what: 'rows, all answered',
      path: '/models/churn/predict',
      type: json,
      body: `[${rows(ROWS, JSON.stringify(row), ',')}]`,
      status: 200,
    },
    { what: 'a tensor of all rows', path: '/v2/models/churn/infer', type: json, body: v2(ROWS * features), status: 200 },
    { what: 'a tensor of too many rows', path: '/v2/models/churn/infer', type: json, body: v2(elements), status: 400 },
    {
      what: 'numbers',
      path: '/models/churn/predict',
      type: json,
      body: `[${number.repeat(BODY_BYTES / number.length - 2)}1]`,
      status: 400,
    },
    { what: 'words', path: '/models/churn/predict', type: json, body: `[${'"a",'.repeat(BODY_BYTES / 4 - 2)}"a"]`, status: 400 },
  ]
}

async function small(bench: OperationsBench, server: RunningServer): Promise<{ p99Ms: number; failed: number }> {
  const { shots } = await openLoop({
    url: server.url('churn'),
    body: await bodyOf(bench, 'churn', 'json'),
    perSecond: PER_SECOND,
    seconds: bench.seconds,
    ahead: 32,
    connections: CONNECTIONS,
    file: join(bench.scratch, 'beside-bodies'),
  })
  return {
    p99Ms: quantile(
      shots.map(({ latencyMs }) => latencyMs),
      0.99,
    ),
    failed: shots.filter(({ status }) => status !== 200).length,
  }
}

async function beside(bench: OperationsBench, server: RunningServer, { path, type, body, status }: Large) {
  const over = new AbortController()
  let sent = 0
  const bytes = Buffer.from(body)
  const sending = (async () => {
    while (!over.signal.aborted) {
      const response = await fetch(server.origin + path, { method: 'POST', headers: { 'content-type': type }, body: bytes })
      const text = await response.text()
      if (response.status !== status) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 300)}`)
      sent++
    }
  })()
  const measured = await Promise.race([small(bench, server), sending.then(() => Promise.reject(new Error('the sender ended')))])
  over.abort()
  await sending
  return { ...measured, sent }
}

async function measure(bench: OperationsBench): Promise<Figure[]> {
  await using server = await serve(bench, 'churn')
  await warmUp(bench, server, { model: 'churn', body: await bodyOf(bench, 'churn', 'json') })
  const { inputs } = JSON.parse(await readFile(join(bench.models, 'churn.json'), 'utf8')) as { inputs: Sample[] }
  const worst: number[] = []
  const alone: number[] = []
  const found = new Map<string, number[]>()
  let errors = 0
  for (let round = 1; round <= bench.rounds; round++) {
    const before = await small(bench, server)
    alone.push(before.p99Ms)
    errors += before.failed
    let most = 0
    for (const large of largest(inputs[0]!)) {
      const { p99Ms, failed, sent } = await beside(bench, server, large)
      errors += failed
      found.set(large.what, [...(found.get(large.what) ?? []), p99Ms])
      most = Math.max(most, p99Ms / before.p99Ms)
      note(`round ${round}: ${large.what}: ${sent} sent, p99 of others ${p99Ms.toFixed(1)} ms, alone ${before.p99Ms.toFixed(1)} ms`)
    }
    worst.push(most)
  }
  const each = [...found].map(([what, values]) => `${what} ${median(values).toFixed(1)} ms`)
  return [
    {
      id: 'ops.bodies.p99',
      what: 'p99 of small requests while the worst of the largest allowed bodies is sent without a pause, against alone',
      value: median(worst),
      unit: '',
      range: rangeOf(worst),
      target: { bound: 'max', value: 3 },
      errors,
      from: `${PER_SECOND} small requests a second; p99 alone ${median(alone).toFixed(1)} ms; beside ${each.join(', ')}`,
    },
  ]
}

export const BODIES: readonly Part[] = [{ ids: ['ops.bodies.p99'], measure }]
