import { Histogram, LATENCY_EDGES, mergeHistograms, ROWS_EDGES } from '../../contract/histogram.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { GUIDE_METRICS, METRICS } from './catalog.ts'
import type { HistogramData } from '../../contract/histogram.ts'
import type { ObservationWindow, Statistic, WindowKey } from '../../contract/observation-window.ts'
import type { Variant } from '../variant.ts'
import type { BatchEvent, InstanceFailureEvent, Observer, RequestEvent, Subject } from './events.ts'
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
  readonly #series = new Map<Subject, Series>()
  /** Rejections that reached no model. */
  readonly #unrouted = new Map<string, number>()
  readonly #guideRequests = new Map<number, number>()
  readonly #guideLatency = new Histogram(LATENCY_EDGES)

  constructor(options: MetricsOptions) {
    this.#options = options
  }

  #of(subject: Subject): Series {
    let series = this.#series.get(subject)
    if (series === undefined) this.#series.set(subject, (series = new Series(subject)))
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

  /** Current values; gauges of variants are read from the variants themselves. */
  families(variants: Iterable<Variant>): Family[] {
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

function variantGauges(variants: Iterable<Variant>): Family[] {
  const queued: Family['samples'][number][] = []
  const inflight: Family['samples'][number][] = []
  const ready: Family['samples'][number][] = []
  const load: Family['samples'][number][] = []
  const instances: Family['samples'][number][] = []
  for (const variant of variants) {
    const { endpoint, variant: name, model, version } = variant.subject
    const labels = { endpoint, variant: name, model, version }
    ready.push({ labels, value: variant.ready ? 1 : 0 })
    const { loaded } = variant
    if (loaded === undefined) continue
    queued.push({ labels, value: loaded.scheduler.queued })
    inflight.push({ labels, value: loaded.scheduler.inFlight })
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
  ]
}
