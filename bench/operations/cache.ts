/** What an answer from the cache costs against a run, and that equal requests at once cause one run. */
import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { median, rangeOf } from '../table.ts'
import { bodyOf, closedLoop, CONNECTIONS, note, scrape, serve, sumOf, warmUp } from './bench.ts'
import type { Load, LoadOptions } from '../load.ts'
import type { RequestBody } from '../models.ts'
import type { RunningServer } from '../servers.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'

const CACHE_MB = 64
const EQUAL_REQUESTS = 32
const FLIGHTS = 10
/** Numbers of eight digits: loads begin so far apart that none repeats the bodies of another. */
const APART = 1_000_000

/** The first bytes of the tensor. Digits there are small positive floats. */
function tensorStart(body: RequestBody): number {
  return Number(body.headers['Inference-Header-Content-Length'])
}

type Kind = 'hits' | 'misses' | 'off'

async function measureRates(bench: OperationsBench): Promise<Figure[]> {
  const body = await bodyOf(bench, 'conv', 'binary')
  const at = tensorStart(body)
  const found: Record<Kind, Load[]> = { hits: [], misses: [], off: [] }
  const shares: number[] = []
  let loads = 0
  {
    await using cached = await serve(bench, 'conv', { SLIPWAY_SERVING_CACHE_MB: String(CACHE_MB) })
    await using plain = await serve(bench, 'conv')
    const bodies: Record<Kind, () => LoadOptions['vary'] & object> = {
      hits: () => ({ at, from: 0, step: 0 }),
      misses: () => ({ at, from: APART * ++loads, step: 1 }),
      off: () => ({ at, from: APART * ++loads, step: 1 }),
    }
    const kinds: readonly Kind[] = ['hits', 'misses', 'off']
    for (const server of [cached, plain]) await warmUp(bench, server, { model: 'conv', body })
    for (let index = 0; index < bench.rounds; index++) {
      for (const kind of index % 2 === 0 ? kinds : kinds.toReversed()) {
        const server = kind === 'off' ? plain : cached
        const vary = bodies[kind]()
        await closedLoop(bench, server, { model: 'conv', body, vary, seconds: 1 })
        const before = await scrape(server)
        // The misses of the second before are in the cache: these begin beyond them.
        const load = await closedLoop(bench, server, { model: 'conv', body, vary: { ...vary, from: vary.from + (vary.step * APART) / 2 } })
        const after = await scrape(server)
        if (kind === 'hits') shares.push(hitShare(before, after))
        if (kind === 'misses' && hitShare(before, after) > 0) throw new Error('requests that all differ were answered from the cache')
        found[kind].push(load)
        note(`cache ${index + 1}/${bench.rounds} ${kind}: ${load.perSecond.toFixed(0)} req/s, CPU ${load.cpuUs.toFixed(0)} us/req`)
      }
    }
  }
  return [
    {
      ...ratio(found, 'hits', 'misses'),
      id: 'ops.cache.hits',
      what: `conv, binary, ${CONNECTIONS} connections, cache of ${CACHE_MB} MB: req/s of equal requests against requests that all differ`,
      target: { bound: 'min', value: 2 },
      from: `${describe(found.hits)} (${(median(shares) * 100).toFixed(1)} % from the cache), ${describe(found.misses)}`,
    },
    {
      ...ratio(found, 'misses', 'off'),
      id: 'ops.cache.misses',
      what: 'req/s of requests that all differ, with the cache against without',
      target: undefined,
      from: `${describe(found.misses)}, without ${describe(found.off)}`,
    },
  ]
}

function hitShare(before: string, after: string): number {
  const more = (label: string): number =>
    sumOf(after, 'slipway_cache_requests_total', label) - sumOf(before, 'slipway_cache_requests_total', label)
  return more('result="hit"') / more('')
}

function describe(loads: readonly Load[]): string {
  return `${median(loads.map((load) => load.perSecond)).toFixed(0)} req/s at ${median(loads.map((load) => load.cpuUs)).toFixed(0)} us of CPU each`
}

function ratio(found: Record<Kind, readonly Load[]>, upper: Kind, lower: Kind): Pick<Figure, 'value' | 'range' | 'unit' | 'errors'> {
  const ratios = found[upper].map((load, index) => load.perSecond / found[lower][index]!.perSecond)
  const errors = [...found[upper], ...found[lower]].reduce((sum, load) => sum + load.errors, 0)
  return { value: median(ratios), range: rangeOf(ratios), unit: '', errors }
}

interface Flight {
  readonly runs: number
  readonly answers: Readonly<Record<string, number>>
  readonly failed: number
}

/** Equal requests at once, that have never been asked before. */
async function flight(server: RunningServer, body: RequestBody, bytes: Buffer, agent: Agent): Promise<Flight> {
  const runs = async (): Promise<number> => sumOf(await scrape(server), 'slipway_runs_total')
  const before = await runs()
  const answers: Record<string, number> = {}
  let failed = 0
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const headers = { ...body.headers, 'Content-Length': bytes.length }
      const sent = request(server.url('conv'), { method: 'POST', agent, headers }, (response) => {
        const result = String(response.headers['slipway-cache'])
        answers[result] = (answers[result] ?? 0) + 1
        if (response.statusCode !== 200) failed++
        response.resume().once('end', resolve)
      })
      sent.once('error', reject)
      sent.end(bytes)
    })
  await Promise.all(Array.from({ length: EQUAL_REQUESTS }, one))
  return { runs: (await runs()) - before, answers, failed }
}

async function measureFlights(bench: OperationsBench): Promise<Figure[]> {
  const body = await bodyOf(bench, 'conv', 'binary')
  await using server = await serve(bench, 'conv', { SLIPWAY_SERVING_CACHE_MB: String(CACHE_MB) })
  const agent = new Agent({ keepAlive: true, maxSockets: EQUAL_REQUESTS })
  const flights: Flight[] = []
  try {
    const bytes = await readFile(body.file)
    // The first one opens the connections.
    for (let index = 0; index <= FLIGHTS; index++) {
      const question = Buffer.from(bytes)
      question.write(String(index).padStart(8, '0'), tensorStart(body), 'latin1')
      const found = await flight(server, body, question, agent)
      if (index > 0) flights.push(found)
    }
  } finally {
    agent.destroy()
  }
  note(`cache flights: ${JSON.stringify(flights)}`)
  const runs = flights.map((found) => found.runs)
  const answers: Record<string, number> = {}
  for (const found of flights) for (const [result, count] of Object.entries(found.answers)) answers[result] = (answers[result] ?? 0) + count
  return [
    {
      id: 'ops.cache.single-flight',
      what: `runs that ${EQUAL_REQUESTS} equal requests at once cause, never asked before (the most of ${FLIGHTS} tries)`,
      value: Math.max(...runs),
      unit: ' runs',
      range: rangeOf(runs),
      target: { bound: 'max', value: 1 },
      errors: flights.reduce((sum, found) => sum + found.failed, 0),
      from: `answers by slipway-cache: ${JSON.stringify(answers)}`,
    },
  ]
}

export const CACHE: readonly Part[] = [
  { ids: ['ops.cache.hits', 'ops.cache.misses'], measure: measureRates },
  { ids: ['ops.cache.single-flight'], measure: measureFlights },
]
