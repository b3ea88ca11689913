import { Histogram, LATENCY_EDGES, mergeHistograms } from '../../contract/statistics/histogram.ts'
import { increment } from '../../core/increment.ts'
import { GUIDE_METRICS, METRICS } from './catalog.ts'
import { acrossSegments, reasonOf } from './observations.ts'
import { tritonFamilies, tritonGauges } from './triton-metrics.ts'
import type { HistogramData } from '../../contract/statistics/histogram.ts'
import type { Labels as SeriesLabels } from '../../contract/statistics/series.ts'
import type { KnownStatistic } from '../../contract/statistics/statistics.ts'
import type { DataPlane } from '../data-plane.ts'
import type { Variant } from '../variant.ts'
import type { ChangeEvent, LoadEvent, Observer, RequestEvent, Subject, UnloadEvent } from './events.ts'
import type { Family, Labels } from './exposition.ts'
import type { Observed } from './observations.ts'

export interface MetricsOptions {
  /** Also expose the names that published guides use. */
  readonly guideNames: boolean
  /** Also expose the names of Triton. */
  readonly tritonNames: boolean
}

/** Counts events that are not in the statistics of versions, and reads the gauges of variants. `Observations` has those statistics. */
export class Metrics implements Observer {
  readonly #options: MetricsOptions
  /** By endpoint and result (loads, switches), endpoint and reason (unloads), or endpoint (drains). */
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

  request(event: RequestEvent): void {
    if (this.#options.guideNames) {
      this.#guideRequests.set(event.status, (this.#guideRequests.get(event.status) ?? 0) + 1)
      this.#guideLatency.observe(event.durationMs / 1000)
    }
    if (event.subject === undefined && event.errorCode !== undefined) increment(this.#unrouted, reasonOf(event.errorCode))
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

  /** Current values; gauges of variants are read from the variants themselves. */
  families(dataPlane: DataPlane): Family[] {
    const families: Family[] = [
      family('slipway_rejected_total', countSamples(NO_MODEL, this.#unrouted)),
      ...variantGauges(dataPlane.variants()),
      family('slipway_model_loads_total', pairSamples(this.#loads, 'result')),
      family('slipway_model_unloads_total', pairSamples(this.#unloads, 'reason')),
      family('slipway_switches_total', pairSamples(this.#switches, 'result')),
      family(
        'slipway_switch_drain_seconds',
        [...this.#drains].map(([endpoint, value]) => ({ labels: { endpoint }, value })),
      ),
      family(
        'slipway_variant_tripped',
        [...dataPlane.endpoints.values()].flatMap(({ name, tripped }) =>
          [...tripped.keys()].map((variant) => ({ labels: { endpoint: name, variant }, value: 1 })),
        ),
      ),
      ...memoryGauges(dataPlane),
    ]
    const { guideNames, tritonNames } = this.#options
    return [...families, ...(guideNames ? this.#guideFamilies() : []), ...(tritonNames ? tritonGauges(dataPlane.variants()) : [])]
  }

  #guideFamilies(): Family[] {
    return [
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

/** Metric names of the statistics of versions. */
const OBSERVED = {
  request_seconds: 'slipway_request_duration_seconds',
  queue_seconds: 'slipway_queue_duration_seconds',
  batch_wait_seconds: 'slipway_batch_wait_seconds',
  compute_seconds: 'slipway_compute_duration_seconds',
  batch_rows: 'slipway_batch_rows',
  runs: 'slipway_runs_total',
  rows: 'slipway_rows_total',
  rejected: 'slipway_rejected_total',
  instance_failures: 'slipway_instance_failures_total',
  cache_requests: 'slipway_cache_requests_total',
  assignments: 'slipway_assignments_total',
  fallbacks: 'slipway_fallbacks_total',
  shadow: 'slipway_shadow_requests_total',
  labels: 'slipway_feedback_total',
} as const satisfies Record<string, keyof typeof METRICS>

/** Statistics of versions as metrics: of each version as a whole, across its segments. */
export function observedFamilies(observed: readonly Observed[], { guideNames, tritonNames }: MetricsOptions): Family[] {
  const versions = acrossSegments(observed)
  const families = Object.entries(OBSERVED).map(([name, metric]) =>
    family(
      metric,
      versions.flatMap(({ subject, series }) =>
        series
          .filter((one) => one.name === name)
          .flatMap(({ labels, statistic }) =>
            valuesOf(statistic).map((value) => ({ labels: { ...labelsOf(subject), ...textLabels(labels) }, value })),
          ),
      ),
    ),
  )
  return [...families, ...(guideNames ? guideFamilies(versions) : []), ...(tritonNames ? tritonFamilies(versions) : [])]
}

/** Predictions by model and status, and their latency by model, across versions and protocols. */
function guideFamilies(versions: readonly Observed[]): Family[] {
  const predictions = new Map<string, { labels: Labels; value: number }>()
  const latencies = new Map<string, HistogramData>()
  for (const { subject, series } of versions)
    for (const { name, labels, statistic } of series) {
      if (name !== 'request_seconds' || statistic.kind !== 'histogram') continue
      const { model } = subject
      const status = Number(labels['code']) < 400 ? 'success' : 'error'
      const key = `${model}\0${status}`
      predictions.set(key, { labels: { model, status }, value: (predictions.get(key)?.value ?? 0) + statistic.count })
      const sum = latencies.get(model)
      latencies.set(model, sum === undefined ? statistic : mergeHistograms(sum, statistic))
    }
  return [
    { name: 'predictions_total', info: GUIDE_METRICS.predictions_total, samples: [...predictions.values()] },
    {
      name: 'prediction_latency_seconds',
      info: GUIDE_METRICS.prediction_latency_seconds,
      samples: [...latencies].map(([model, value]) => ({ labels: { model }, value })),
    },
  ]
}

function labelsOf({ endpoint, variant, model, version }: Subject): Labels {
  return { endpoint, variant, model, version }
}

function textLabels(labels: SeriesLabels): Labels {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]))
}

function valuesOf(statistic: KnownStatistic): (number | HistogramData)[] {
  return statistic.kind === 'count' ? [statistic.value] : statistic.kind === 'histogram' ? [statistic] : []
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

function countSamples(labels: Labels, counts: ReadonlyMap<string, number>): { labels: Labels; value: number }[] {
  return [...counts].map(([reason, value]) => ({ labels: { ...labels, reason }, value }))
}

/** Counts of a cache. */
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
