import type { Series } from '../../contract/statistics/series.ts'
import type { KnownStatistic } from '../../contract/statistics/statistics.ts'
import type { BatchEvent } from './events.ts'

/** Batch sizes that are told apart; runs of further ones count without a size. */
export const BATCH_SIZES_MAX = 256

/** The parts of a run, in their order. */
export const RUN_PARTS = ['input', 'compute', 'output'] as const
export type RunPart = (typeof RUN_PARTS)[number]

/** Milliseconds of the parts of so many runs. */
class Sums {
  count = 0
  input = 0
  compute = 0
  output = 0

  add({ inputMs, computeMs, outputMs }: BatchEvent, times: number): void {
    this.count += times
    this.input += inputMs * times
    this.compute += computeMs * times
    this.output += outputMs * times
  }
}

/** Times of successful runs: by batch size, and once for each request that was in them, as Triton counts. */
export class RunTimes {
  readonly #bySize = new Map<number, Sums>()
  readonly #ofRequests = new Sums()

  observe(run: BatchEvent): void {
    this.#ofRequests.add(run, run.requests)
    let sums = this.#bySize.get(run.rows)
    if (sums === undefined) {
      if (this.#bySize.size >= BATCH_SIZES_MAX) return
      this.#bySize.set(run.rows, (sums = new Sums()))
    }
    sums.add(run, 1)
  }

  series(): Series<KnownStatistic>[] {
    const series: Series<KnownStatistic>[] = []
    const add = (name: string, labels: Series['labels'], value: number): void => {
      series.push({ name, labels, statistic: { kind: 'count', value } })
    }
    const addSums = (prefix: string, labels: Series['labels'], sums: Sums): void => {
      add(`${prefix}_runs`, labels, sums.count)
      for (const part of RUN_PARTS) add(`${prefix}_run_seconds`, { ...labels, part }, sums[part] / 1000)
    }
    if (this.#ofRequests.count > 0) addSums('request', {}, this.#ofRequests)
    for (const [rows, sums] of this.#bySize) addSums('batch', { rows }, sums)
    return series
  }
}
