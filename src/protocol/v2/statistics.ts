/**
 * Statistics of models as the statistics extension of Triton has them (its docs/protocol/extension_statistics.md), from the
 * observations of the server.
 */
import { acrossSegments } from '../../serving/observe/observations.ts'
import { VersionSums } from '../../serving/observe/version-sums.ts'
import type { ProcessCounts } from '../../serving/observe/merge.ts'
import type { RunPart } from '../../serving/observe/run-times.ts'
import type { Timed } from '../../serving/observe/version-sums.ts'
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
    const sums = new VersionSums(observed.get(key) ?? [])
    const bytes = memory.get(key)
    return {
      name: endpoint,
      version,
      last_inference: sums.lastRequestMs,
      inference_count: sums.runs.rows,
      execution_count: sums.runs.count,
      inference_stats: inferStatistics(sums),
      response_stats: {},
      batch_stats: sums.batchSizes.map((rows) => ({ batch_size: rows, ...runDurations((part) => sums.batchPart(rows, part)) })),
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

function inferStatistics(sums: VersionSums): InferStatistics {
  return {
    success: duration(sums.requests((code) => code < 400)),
    fail: duration(sums.requests((code) => code >= 400)),
    queue: duration(sums.queue),
    ...runDurations((part) => sums.part(part)),
    cache_hit: duration(sums.cacheHits),
    cache_miss: duration(sums.cacheMisses),
  }
}

function runDurations(of: (part: RunPart) => Timed): RunDurations {
  return { compute_input: duration(of('input')), compute_infer: duration(of('compute')), compute_output: duration(of('output')) }
}

function duration({ count, seconds }: Timed): StatisticDuration {
  return { count, ns: Math.round(seconds * 1e9) }
}
