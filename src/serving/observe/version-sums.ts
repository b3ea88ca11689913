import type { HistogramData } from '../../contract/statistics/histogram.ts'
import type { Labels } from '../../contract/statistics/series.ts'
import type { Observed } from './observations.ts'
import type { RunPart } from './run-times.ts'

/** How often something happened, and how long that took together. */
export interface Timed {
  readonly count: number
  readonly seconds: number
}

/** Sums over the statistics of one version of an endpoint, whichever variants had it. */
export class VersionSums {
  readonly #observed: readonly Observed[]

  constructor(observed: readonly Observed[]) {
    this.#observed = observed
  }

  /** When the last request was answered or refused, UTC epoch milliseconds; 0 before the first. */
  get lastRequestMs(): number {
    return Math.max(0, ...this.#observed.map(({ lastRequestMs = 0 }) => lastRequestMs))
  }

  #series(name: string): Observed['series'] {
    return this.#observed.flatMap(({ series }) => series.filter((one) => one.name === name))
  }

  #count(name: string, wanted: Labels): number {
    let sum = 0
    for (const { labels, statistic } of this.#series(name))
      if (statistic.kind === 'count' && Object.entries(wanted).every(([label, value]) => labels[label] === value)) sum += statistic.value
    return sum
  }

  #histogram(name: string, counts: (labels: Labels) => boolean = () => true): Pick<HistogramData, 'count' | 'sum'> {
    const total = { count: 0, sum: 0 }
    for (const { labels, statistic } of this.#series(name)) {
      if (statistic.kind !== 'histogram' || !counts(labels)) continue
      total.count += statistic.count
      total.sum += statistic.sum
    }
    return total
  }

  requests(counts: (code: number) => boolean): Timed {
    const { count, sum } = this.#histogram('request_seconds', ({ code }) => counts(Number(code)))
    return { count, seconds: sum }
  }

  /** Requests that were not answered, by the code of their error, as `queue_full`. */
  get rejections(): Map<string, number> {
    const rejections = new Map<string, number>()
    for (const { labels, statistic } of this.#series('rejected')) {
      const reason = String(labels['reason'])
      if (statistic.kind === 'count') rejections.set(reason, (rejections.get(reason) ?? 0) + statistic.value)
    }
    return rejections
  }

  get queue(): Timed {
    const { count, sum } = this.#histogram('queue_seconds')
    return { count, seconds: sum }
  }

  /** Successful runs, and the rows in them. */
  get runs(): { readonly count: number; readonly rows: number } {
    const { count, sum } = this.#histogram('batch_rows')
    return { count, rows: sum }
  }

  /** A part of runs, counted for each request in them. */
  part(part: RunPart): Timed {
    return { count: this.#count('request_runs', {}), seconds: this.#count('request_run_seconds', { part }) }
  }

  /** Batch sizes that ran, ascending. */
  get batchSizes(): number[] {
    return [...new Set(this.#series('batch_runs').map(({ labels }) => Number(labels['rows'])))].toSorted((a, b) => a - b)
  }

  batchPart(rows: number, part: RunPart): Timed {
    return { count: this.#count('batch_runs', { rows }), seconds: this.#count('batch_run_seconds', { rows, part }) }
  }

  /** Answers from memory, and requests that had the answer of an equal one that was running. */
  get cacheHits(): Timed {
    const count = this.#count('cache_requests', { result: 'hit' }) + this.#count('cache_requests', { result: 'shared' })
    return { count, seconds: this.#count('cache_seconds', { result: 'hit' }) }
  }

  get cacheMisses(): Timed {
    return { count: this.#count('cache_requests', { result: 'miss' }), seconds: this.#count('cache_seconds', { result: 'miss' }) }
  }
}
