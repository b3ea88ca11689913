import { Histogram, LATENCY_EDGES, mergeHistograms, ROWS_EDGES } from '../../contract/histogram.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { GUIDE_METRICS, METRICS } from './catalog.ts'
import type { HistogramData } from '../../contract/histogram.ts'
import type { ObservationWindow, Statistic, WindowKey } from '../../contract/observation-window.ts'
import type { DataPlane } from '../data-plane.ts'
import type { Variant } from '../variant.ts'
import type { BatchEvent, ChangeEvent, InstanceFailureEvent, LoadEvent, Observer, RequestEvent, Subject, UnloadEvent } from './events.ts'
import type { Family, Labels } from './exposition.ts'

export interface MetricsOptions {
  /** Also expose the names that published guides use. */
  readonly guideNames: boolean
}

/** Everything counted of one variant. */
class Series {
  readonly labels: Labels
  readonly requests = new Map<string, Map<number, Histogram>>()
  readonly queue = new Histogram(LATENCY_EDGES)
  readonly batchWait = new Histogram(LATENCY_EDGES)
  readonly compute = new Histogram(LATENCY_EDGES)
  readonly batchRows = new Histogram(ROWS_EDGES)
  readonly rejected = new Map<string, number>()
  readonly failures = new Map<string, number>()
  readonly cached = new Map<string, number>()
  /** When it was last seen to be served, epoch milliseconds. */
  servedMs = Date.now()
  inlineRuns = 0
  poolRuns = 0
  rows = 0

  constructor(subject: Subject) {
    this.labels = { endpoint: subject.endpoint, variant: subject.variant, model: subject.model, version: subject.version }
  }

  requestHistogram(protocol: string, status: number): Histogram {
    let byStatus = this.requests.get(protocol)
    if (byStatus === undefined) this.requests.set(protocol, (byStatus = new Map<number, Histogram>()))
    let histogram = byStatus.get(status)
    if (histogram === undefined) byStatus.set(status, (histogram = new Histogram(LATENCY_EDGES)))
    return histogram
  }
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/** `SLW_QUEUE_FULL` as a label: `queue_full`. */
function reasonOf(code: string): string {
  return code.replace(/^SLW_/, '').toLowerCase()
}

/** Counts what the data plane tells. Labels come only from what is served, never from what a client names. */
export class Metrics implements Observer {
  readonly #options: MetricsOptions
  readonly #series = new Map<string, Series>()
  /** The same by the object that events carry: the way of every request. */
  readonly #bySubject = new WeakMap<Subject, Series>()
  /** By endpoint and result, reason, or nothing. */
  readonly #loads = new Map<string, number>()
  readonly #unloads = new Map<string, number>()
  readonly #switches = new Map<string, number>()
  readonly #drains = new Map<string, number>()
  /** Rejections that reached no model. */
  readonly #unrouted = new Map<string, number>()
  readonly #guideRequests = new Map<number, number>()
  readonly #guideLatency = new Histogram(LATENCY_EDGES)

  constructor(options: MetricsOptions) {
    this.#options = options
  }

  #of(subject: Subject): Series {
    const known = this.#bySubject.get(subject)
    if (known !== undefined) return known
    // A version that is loaded again counts on where it was.
    const key = keyOf(subject)
    let series = this.#series.get(key)
    if (series === undefined) this.#series.set(key, (series = new Series(subject)))
    this.#bySubject.set(subject, series)
    return series
  }

  request(event: RequestEvent): void {
    const seconds = event.durationMs / 1000
    if (this.#options.guideNames) {
      this.#guideRequests.set(event.status, (this.#guideRequests.get(event.status) ?? 0) + 1)
      this.#guideLatency.observe(seconds)
    }
    if (event.subject === undefined) {
      if (event.errorCode !== undefined) increment(this.#unrouted, reasonOf(event.errorCode))
      return
    }
    const series = this.#of(event.subject)
    series.requestHistogram(event.protocol, event.status).observe(seconds)
    if (event.errorCode !== undefined) {
      increment(series.rejected, reasonOf(event.errorCode))
      return
    }
    if (event.cache !== undefined) increment(series.cached, event.cache)
    series.queue.observe(event.queueMs / 1000)
    series.batchWait.observe(event.batchWaitMs / 1000)
    series.rows += event.rows
  }

  batch(event: BatchEvent): void {
    const series = this.#of(event.subject)
    if (event.instance === 'inline') series.inlineRuns++
    else series.poolRuns++
    if (event.failed) return
    series.compute.observe(event.computeMs / 1000)
    series.batchRows.observe(event.rows)
  }

  instanceFailure(event: InstanceFailureEvent): void {
    increment(this.#of(event.subject).failures, event.reason.replaceAll(' ', '_'))
  }

  load(event: LoadEvent): void {
    increment(this.#loads, `${event.subject.endpoint}\0${event.error === undefined ? 'ok' : reasonOf(event.error)}`)
  }

  unload(event: UnloadEvent): void {
    increment(this.#unloads, `${event.subject.endpoint}\0${event.reason}`)
  }

  change(event: ChangeEvent): void {
    increment(this.#switches, `${event.endpoint}\0${event.ok ? 'ok' : 'failed'}`)
    if (event.ok) this.#drains.set(event.endpoint, event.drainMs / 1000)
  }

  /** What was seen of one variant so far, in the form that merges with what other servers saw. */
  window(subject: Subject, key: WindowKey): ObservationWindow {
    const series = this.#of(subject)
    const statistics: Record<string, Statistic> = {
      queue_seconds: series.queue.snapshot(),
      batch_wait_seconds: series.batchWait.snapshot(),
      compute_seconds: series.compute.snapshot(),
      batch_rows: series.batchRows.snapshot(),
      rows: { kind: 'count', value: series.rows },
    }
    for (const [protocol, byStatus] of series.requests) {
      for (const [status, histogram] of byStatus) statistics[`request_seconds{protocol=${protocol},code=${status}}`] = histogram.snapshot()
    }
    for (const [reason, value] of series.rejected) statistics[`rejected{reason=${reason}}`] = { kind: 'count', value }
    return { apiVersion: API_VERSION, key, statistics }
  }

  /** Series of versions that are gone are kept for the next scrapes, and not for ever. */
  #sweep(variants: readonly Variant[]): void {
    const now = Date.now()
    for (const { subject } of variants) {
      const series = this.#series.get(keyOf(subject))
      if (series !== undefined) series.servedMs = now
    }
    for (const [key, series] of this.#series) if (now - series.servedMs > KEEP_GONE_MS) this.#series.delete(key)
  }

  /** Current values; gauges of variants are read from the variants themselves. */
  families(dataPlane: DataPlane): Family[] {
    const variants = [...dataPlane.variants()]
    this.#sweep(variants)
    const all = [...this.#series.values()]
    const per = <T extends Family['samples'][number]['value']>(value: (series: Series) => T): Family['samples'] =>
      all.map((series) => ({ labels: series.labels, value: value(series) }))
    const families: Family[] = [
      family('slipway_request_duration_seconds', all.flatMap(requestSamples)),
      family(
        'slipway_queue_duration_seconds',
        per((series) => series.queue.snapshot()),
      ),
      family(
        'slipway_batch_wait_seconds',
        per((series) => series.batchWait.snapshot()),
      ),
      family(
        'slipway_compute_duration_seconds',
        per((series) => series.compute.snapshot()),
      ),
      family(
        'slipway_batch_rows',
        per((series) => series.batchRows.snapshot()),
      ),
      family(
        'slipway_runs_total',
        all.flatMap((series) => [
          { labels: { ...series.labels, instance: 'inline' }, value: series.inlineRuns },
          { labels: { ...series.labels, instance: 'pool' }, value: series.poolRuns },
        ]),
      ),
      family(
        'slipway_rows_total',
        per((series) => series.rows),
      ),
      family('slipway_rejected_total', [
        ...all.flatMap((series) => countSamples(series.labels, series.rejected)),
        ...countSamples(NO_MODEL, this.#unrouted),
      ]),
      family(
        'slipway_instance_failures_total',
        all.flatMap((series) => countSamples(series.labels, series.failures)),
      ),
      ...variantGauges(variants),
      family('slipway_model_loads_total', pairSamples(this.#loads, 'result')),
      family('slipway_model_unloads_total', pairSamples(this.#unloads, 'reason')),
      family('slipway_switches_total', pairSamples(this.#switches, 'result')),
      family(
        'slipway_switch_drain_seconds',
        [...this.#drains].map(([endpoint, value]) => ({ labels: { endpoint }, value })),
      ),
      family(
        'slipway_cache_requests_total',
        all.flatMap((series) => [...series.cached].map(([result, value]) => ({ labels: { ...series.labels, result }, value }))),
      ),
      ...memoryGauges(dataPlane),
    ]
    return this.#options.guideNames ? [...families, ...this.#guideFamilies(all)] : families
  }

  #guideFamilies(all: readonly Series[]): Family[] {
    const predictions = all.flatMap((series) =>
      [...series.requests.values()].flatMap((byStatus) =>
        [...byStatus].map(([status, histogram]) => ({
          labels: { model: series.labels['model'] ?? '', status: status < 400 ? 'success' : 'error' },
          value: histogram.count,
        })),
      ),
    )
    const sums = new Map<string, { labels: Labels; value: number }>()
    for (const sample of predictions) {
      const key = JSON.stringify(sample.labels)
      sums.set(key, { labels: sample.labels, value: (sums.get(key)?.value ?? 0) + sample.value })
    }
    return [
      { name: 'predictions_total', info: GUIDE_METRICS.predictions_total, samples: [...sums.values()] },
      { name: 'prediction_latency_seconds', info: GUIDE_METRICS.prediction_latency_seconds, samples: mergeByModel(all) },
      {
        name: 'request_count',
        info: GUIDE_METRICS.request_count,
        samples: [...this.#guideRequests].map(([code, value]) => ({ labels: { code: String(code) }, value })),
      },
      {
        name: 'request_latency_seconds',
        info: GUIDE_METRICS.request_latency_seconds,
        samples: [{ labels: {}, value: this.#guideLatency.snapshot() }],
      },
    ]
  }
}

/** How long the series of a version that is no longer served are exposed. */
const KEEP_GONE_MS = 10 * 60 * 1000

function keyOf({ endpoint, variant, model, version }: Subject): string {
  return `${endpoint}\0${variant}\0${model}\0${version}`
}

function pairSamples(counts: ReadonlyMap<string, number>, label: string): Family['samples'] {
  return [...counts].map(([key, value]) => {
    const [endpoint = '', second = ''] = key.split('\0')
    return { labels: { endpoint, [label]: second }, value }
  })
}

function memoryGauges({ memory }: DataPlane): Family[] {
  const one = (value: number | undefined): Family['samples'] => (value === undefined ? [] : [{ labels: {}, value }])
  return [family('slipway_memory_used_bytes', one(memory.usedBytes)), family('slipway_memory_budget_bytes', one(memory.budgetBytes))]
}

const NO_MODEL: Labels = { endpoint: '', variant: '', model: '', version: '' }

function family(name: keyof typeof METRICS, samples: Family['samples']): Family {
  return { name, info: METRICS[name], samples }
}

function requestSamples(series: Series): { labels: Labels; value: ReturnType<Histogram['snapshot']> }[] {
  return [...series.requests].flatMap(([protocol, byStatus]) =>
    [...byStatus].map(([status, histogram]) => ({
      labels: { ...series.labels, protocol, code: String(status) },
      value: histogram.snapshot(),
    })),
  )
}

/** One latency histogram per model, whatever the version, protocol and status. */
function mergeByModel(all: readonly Series[]): { labels: Labels; value: HistogramData }[] {
  const merged = new Map<string, HistogramData>()
  for (const { labels, value } of all.flatMap(requestSamples)) {
    const model = labels['model'] ?? ''
    const sum = merged.get(model)
    merged.set(model, sum === undefined ? value : mergeHistograms(sum, value))
  }
  return [...merged].map(([model, value]) => ({ labels: { model }, value }))
}

function countSamples(labels: Labels, counts: ReadonlyMap<string, number>): { labels: Labels; value: number }[] {
  return [...counts].map(([reason, value]) => ({ labels: { ...labels, reason }, value }))
}

/** What a cache tells of itself. */
export interface CacheCounts {
  readonly entries: number
  readonly bytes: number
  readonly evictions: number
}

function variantGauges(variants: Iterable<Variant>): Family[] {
  const queued: Family['samples'][number][] = []
  const inflight: Family['samples'][number][] = []
  const ready: Family['samples'][number][] = []
  const load: Family['samples'][number][] = []
  const instances: Family['samples'][number][] = []
  const memory: Family['samples'][number][] = []
  const caches: { labels: Labels; cache: CacheCounts }[] = []
  for (const variant of variants) {
    const { endpoint, variant: name, model, version } = variant.subject
    const labels = { endpoint, variant: name, model, version }
    ready.push({ labels, value: variant.ready ? 1 : 0 })
    const { loaded } = variant
    if (loaded === undefined) continue
    queued.push({ labels, value: loaded.scheduler.queued })
    inflight.push({ labels, value: loaded.scheduler.inFlight })
    if (variant.memoryBytes !== undefined) memory.push({ labels, value: variant.memoryBytes })
    if (loaded.cache !== undefined) caches.push({ labels, cache: loaded.cache })
    load.push({ labels, value: (loaded.times.loadMs + loaded.times.warmUpMs) / 1000 })
    const states = new Map<string, number>()
    for (const slot of loaded.slots) increment(states, slot.state.replaceAll(' ', '_'))
    for (const [state, value] of states) instances.push({ labels: { ...labels, state }, value })
  }
  return [
    family('slipway_queue_requests', queued),
    family('slipway_inflight_requests', inflight),
    family('slipway_model_ready', ready),
    family('slipway_model_load_seconds', load),
    family('slipway_instances', instances),
    family('slipway_model_memory_bytes', memory),
    family(
      'slipway_cache_entries',
      caches.map(({ labels, cache }) => ({ labels, value: cache.entries })),
    ),
    family(
      'slipway_cache_bytes',
      caches.map(({ labels, cache }) => ({ labels, value: cache.bytes })),
    ),
    family(
      'slipway_cache_evictions_total',
      caches.map(({ labels, cache }) => ({ labels, value: cache.evictions })),
    ),
  ]
}
