/**
 * Statistics of models as the statistics extension of Triton has them (its docs/protocol/extension_statistics.md), from the
 * observations of the server.
 */
import { acrossSegments } from '../../serving/observe/observations.ts'
import type { HistogramData } from '../../contract/statistics/histogram.ts'
import type { Labels } from '../../contract/statistics/series.ts'
import type { ProcessCounts } from '../../serving/observe/merge.ts'
import type { Observed } from '../../serving/observe/observations.ts'
import type { Variant } from '../../serving/variant.ts'

/** How often something happened, and how long that took together. */
export interface StatisticDuration {
  readonly count: number
  /** Nanoseconds. */
  readonly ns: number
}

/** The parts of runs. */
export interface RunDurations {
  /** Making one set of tensors of those of the requests in a run. */
  readonly compute_input: StatisticDuration
  /** Inside the runtime. */
  readonly compute_infer: StatisticDuration
  /** The rest of the run: the way to the instance and back. */
  readonly compute_output: StatisticDuration
}

export interface InferStatistics extends RunDurations {
  /** Requests that were answered, from memory too, from arrival to answer. */
  readonly success: StatisticDuration
  readonly fail: StatisticDuration
  /** Waits for an instance, of requests that were answered, from memory too. */
  readonly queue: StatisticDuration
  /** Answers from memory, and requests that had the answer of an equal one that was running. */
  readonly cache_hit: StatisticDuration
  readonly cache_miss: StatisticDuration
}

export interface BatchStatistics extends RunDurations {
  /** Rows of a run. */
  readonly batch_size: number
}

export interface MemoryUsage {
  readonly type: 'CPU'
  readonly id: 0
  readonly byte_size: number
}

/** Statistics of one version since the server started, of all its processes. */
export interface ModelStatistics {
  readonly name: string
  readonly version: string
  /** When the last request was answered or refused, milliseconds since the Unix epoch; 0 before the first. */
  readonly last_inference: number
  /** Rows that were run. */
  readonly inference_count: number
  /** Runs. */
  readonly execution_count: number
  readonly inference_stats: InferStatistics
  /** By the number of an answer of several, for models that answer in parts: here there are none. */
  readonly response_stats: Readonly<Record<string, never>>
  /** The first 256 batch sizes that ran. */
  readonly batch_stats: readonly BatchStatistics[]
  /** Memory as measured when the version was loaded; empty where it was not measured, or the version is not in memory. */
  readonly memory_usage: readonly MemoryUsage[]
}

/**
 * Statistics of versions, in their order; those of variants with one endpoint and version are added up.
 * @param counts those of the whole server
 */
export function modelStatistics(counts: ProcessCounts, variants: Iterable<Pick<Variant, 'subject'>>): ModelStatistics[] {
  const observed = Map.groupBy(acrossSegments(counts.observed), ({ subject }) => keyOf(subject))
  const memory = memoryOf(counts)
  const wanted = new Map([...variants].map(({ subject }) => [keyOf(subject), subject]))
  return [...wanted].map(([key, { endpoint, version }]) => {
    const sums = new Sums(observed.get(key) ?? [])
    const rows = sums.histogram('batch_rows')
    const bytes = memory.get(key)
    return {
      name: endpoint,
      version,
      last_inference: sums.lastRequestMs,
      inference_count: rows.sum,
      execution_count: rows.count,
      inference_stats: inferStatistics(sums),
      response_stats: {},
      batch_stats: sums.batches(),
      memory_usage: bytes === undefined ? [] : [{ type: 'CPU', id: 0, byte_size: bytes }],
    }
  })
}

function keyOf({ endpoint, version }: { readonly endpoint: string; readonly version: string }): string {
  return JSON.stringify([endpoint, version])
}

function memoryOf({ families }: ProcessCounts): Map<string, number> {
  const bytes = new Map<string, number>()
  for (const { labels, value } of families.find(({ name }) => name === 'slipway_model_memory_bytes')?.samples ?? []) {
    const key = keyOf({ endpoint: labels['endpoint'] ?? '', version: labels['version'] ?? '' })
    if (typeof value === 'number') bytes.set(key, (bytes.get(key) ?? 0) + value)
  }
  return bytes
}

function inferStatistics(sums: Sums): InferStatistics {
  const queue = sums.histogram('queue_seconds')
  const hits = sums.count('cache_requests', { result: 'hit' }) + sums.count('cache_requests', { result: 'shared' })
  return {
    success: sums.requests((code) => code < 400),
    fail: sums.requests((code) => code >= 400),
    queue: duration(queue.count, queue.sum),
    ...sums.runs('request', {}),
    cache_hit: duration(hits, sums.count('cache_seconds', { result: 'hit' })),
    cache_miss: duration(sums.count('cache_requests', { result: 'miss' }), sums.count('cache_seconds', { result: 'miss' })),
  }
}

function duration(count: number, seconds: number): StatisticDuration {
  return { count, ns: Math.round(seconds * 1e9) }
}

/** Sums over the statistics of one version. */
class Sums {
  readonly #observed: readonly Observed[]

  constructor(observed: readonly Observed[]) {
    this.#observed = observed
  }

  get lastRequestMs(): number {
    return Math.max(0, ...this.#observed.map(({ lastRequestMs = 0 }) => lastRequestMs))
  }

  #series(name: string): Observed['series'] {
    return this.#observed.flatMap(({ series }) => series.filter((one) => one.name === name))
  }

  count(name: string, wanted: Labels): number {
    let sum = 0
    for (const { labels, statistic } of this.#series(name))
      if (statistic.kind === 'count' && Object.entries(wanted).every(([label, value]) => labels[label] === value)) sum += statistic.value
    return sum
  }

  histogram(name: string, counts: (labels: Labels) => boolean = () => true): Pick<HistogramData, 'count' | 'sum'> {
    const total = { count: 0, sum: 0 }
    for (const { labels, statistic } of this.#series(name)) {
      if (statistic.kind !== 'histogram' || !counts(labels)) continue
      total.count += statistic.count
      total.sum += statistic.sum
    }
    return total
  }

  requests(counts: (code: number) => boolean): StatisticDuration {
    const { count, sum } = this.histogram('request_seconds', ({ code }) => counts(Number(code)))
    return duration(count, sum)
  }

  runs(of: 'request' | 'batch', labels: Labels): RunDurations {
    const count = this.count(`${of}_runs`, labels)
    const part = (name: string): StatisticDuration => duration(count, this.count(`${of}_run_seconds`, { ...labels, part: name }))
    return { compute_input: part('input'), compute_infer: part('compute'), compute_output: part('output') }
  }

  batches(): BatchStatistics[] {
    const sizes = new Set(this.#series('batch_runs').map(({ labels }) => Number(labels['rows'])))
    return [...sizes].toSorted((a, b) => a - b).map((rows) => ({ batch_size: rows, ...this.runs('batch', { rows }) }))
  }
}
