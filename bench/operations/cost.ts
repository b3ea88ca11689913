/**
 * What watching a server costs it: CPU time a request, with and without, in pairs. The orders of a pair alternate (A B B A),
 * so that what grows or shrinks with time disturbs both sides alike. Two processes of one program differ, too: sides that need
 * servers of their own get new ones for every block, and two equal servers are compared in the same way, which shows what the
 * method cannot tell apart.
 */
import { get } from 'node:http'
import { median } from '../table.ts'
import { bodyOf, closedLoop, note, scrape, serve, sumOf, warmUp } from './bench.ts'
import { medianInterval } from './figures.ts'
import { startSink } from './sink.ts'
import type { Load } from '../load.ts'
import type { RunningServer } from '../servers.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'

/** Each block gives two pairs. */
const BLOCKS_PER_ROUND = 2
const SCRAPE_MS = 1000
/** What Prometheus sends where native histograms are not asked for. */
const ACCEPT =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1'

/** Measures one side once. */
type Side = () => Promise<Load>

interface Pairs {
  /** CPU time a request, with against without. */
  readonly ratios: number[]
  readonly without: number[]
  readonly with: number[]
  errors: number
}

async function block(pairs: Pairs, without: Side, watched: Side): Promise<void> {
  const loads = [await without(), await watched(), await watched(), await without()] as const
  const [a1, b1, b2, a2] = loads.map((load) => load.cpuUs) as [number, number, number, number]
  pairs.ratios.push(b1 / a1, b2 / a2)
  pairs.without.push(a1, a2)
  pairs.with.push(b1, b2)
  for (const load of loads) pairs.errors += load.errors
}

async function blocks(bench: OperationsBench, name: string, one: (pairs: Pairs) => Promise<void>): Promise<Pairs> {
  const pairs: Pairs = { ratios: [], without: [], with: [], errors: 0 }
  const count = bench.rounds * BLOCKS_PER_ROUND
  for (let index = 0; index < count; index++) {
    await one(pairs)
    note(
      `cost ${name} ${index + 1}/${count}: ${pairs.ratios
        .slice(-2)
        .map((ratio) => ratio.toFixed(4))
        .join(' ')}`,
    )
  }
  return pairs
}

function figure(id: string, what: string, pairs: Pairs, rest: Pick<Figure, 'target' | 'from'>): Figure {
  const percent = (ratio: number): number => (ratio - 1) * 100
  const [low, high] = medianInterval(pairs.ratios)
  return {
    id: `ops.cost.${id}`,
    what: `churn, JSON, 32 connections: CPU a request, ${what}`,
    value: percent(median(pairs.ratios)),
    unit: ' %',
    range: [percent(low), percent(high)],
    confidence: true,
    errors: pairs.errors,
    ...rest,
    from: `median of ${pairs.ratios.length} pairs; with ${median(pairs.with).toFixed(2)} us, without ${median(pairs.without).toFixed(2)} us; ${rest.from}`,
  }
}

const MOST = { bound: 'max', value: 3 } as const

/** Scrapes once a second while it lives. */
class Scraper implements Disposable {
  readonly #timer: NodeJS.Timeout
  readonly found: { scrapes: number; bytes: number; failures: number }

  constructor(server: RunningServer, found: { scrapes: number; bytes: number; failures: number }) {
    this.found = found
    const once = (): void => {
      get(`${server.origin}/metrics`, { headers: { accept: ACCEPT } }, (response) => {
        found.scrapes++
        if (response.statusCode !== 200) found.failures++
        response.on('data', (chunk: Buffer) => (found.bytes += chunk.length))
      }).once('error', () => found.failures++)
    }
    once()
    this.#timer = setInterval(once, SCRAPE_MS)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

async function measureScrapes(bench: OperationsBench): Promise<Figure[]> {
  const load = { model: 'churn', body: await bodyOf(bench, 'churn', 'json') } as const
  const found = { scrapes: 0, bytes: 0, failures: 0 }
  await using server = await serve(bench, 'churn')
  await warmUp(bench, server, load)
  const without: Side = () => closedLoop(bench, server, load)
  const watched: Side = async () => {
    using _scraper = new Scraper(server, found)
    return await without()
  }
  const pairs = await blocks(bench, 'scrapes', (so) => block(so, without, watched))
  pairs.errors += found.failures
  return [
    figure('scrapes', 'scraped once a second (OpenMetrics) against nobody scraping, the same process', pairs, {
      target: MOST,
      from: `metrics are kept in both, there is no server without; ${found.scrapes} scrapes of ${(found.bytes / Math.max(1, found.scrapes) / 1024).toFixed(1)} KiB`,
    }),
  ]
}

/** A new pair of servers for every block. */
async function measureTraces(bench: OperationsBench, ratio: number | undefined): Promise<Figure[]> {
  const load = { model: 'churn', body: await bodyOf(bench, 'churn', 'json') } as const
  const spans = { exported: 0, dropped: 0, requests: 0 }
  await using sink = await startSink('traces')
  const env: Record<string, string> =
    ratio === undefined ? {} : { SLIPWAY_TRACING_ENDPOINT: sink.origin, SLIPWAY_TRACING_SAMPLE_RATIO: String(ratio) }
  let blocksDone = 0
  const pairs = await blocks(bench, ratio === undefined ? 'nothing' : `traces ${ratio}`, async (so) => {
    // Neither side is always the older process.
    const watchedFirst = blocksDone++ % 2 === 1
    await using first = await serve(bench, 'churn', watchedFirst ? env : {})
    await using second = await serve(bench, 'churn', watchedFirst ? {} : env)
    const [off, on] = watchedFirst ? [second, first] : [first, second]
    for (const server of [first, second]) await warmUp(bench, server, load)
    await block(
      so,
      () => closedLoop(bench, off, load),
      () => closedLoop(bench, on, load),
    )
    const exposition = await scrape(on)
    spans.exported += sumOf(exposition, 'slipway_trace_spans_exported_total')
    spans.dropped += sumOf(exposition, 'slipway_trace_spans_dropped_total')
    spans.requests += sumOf(exposition, 'slipway_request_duration_seconds_count')
  })
  if (ratio === undefined)
    return [
      figure('nothing', 'two equal servers: what the method cannot tell apart', pairs, {
        target: undefined,
        from: 'no difference is true',
      }),
    ]
  if (spans.exported === 0) throw new Error('no spans came to the sink: nothing was traced')
  return [
    figure(`traces-${ratio}`, `traced at ${ratio} over OTLP/HTTP to a program that throws away, against not traced`, pairs, {
      target: MOST,
      from: `${spans.exported} spans taken and ${spans.dropped} dropped of ${spans.requests} requests`,
    }),
  ]
}

export const COST: readonly Part[] = [
  { ids: ['ops.cost.scrapes'], measure: measureScrapes },
  { ids: ['ops.cost.traces-0.01'], measure: (bench) => measureTraces(bench, 0.01) },
  { ids: ['ops.cost.traces-0.1'], measure: (bench) => measureTraces(bench, 0.1) },
  { ids: ['ops.cost.nothing'], measure: (bench) => measureTraces(bench, undefined) },
]
