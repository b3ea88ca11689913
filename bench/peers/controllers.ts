/** Whoever moves a rollout: it is told what happened in each tick, and says how it goes on. */
import { TICK_S } from './traffic.ts'
import type { Counts, Tick } from './traffic.ts'

export type End = 'promoted' | 'back' | 'held'

export interface Controller {
  /** Share of the requests that the candidate gets now, from 0 to 1. */
  readonly share: number
  /** @param nowS seconds since the rollout began, at the end of the tick. @returns how it ended; undefined where it goes on */
  tick(nowS: number, tick: Tick): End | undefined
}

/** Counts of the candidate's last ticks, as Prometheus has them. */
class Recent {
  readonly #ticks: Counts[] = []
  /** Whether the candidate ever had a request: until then there is no series. */
  any = false

  add(counts: Counts): void {
    this.#ticks.push(counts)
    this.any ||= counts.requests > 0
  }

  sum(of: 'requests' | 'failed' | 'over500', seconds: number): number {
    return this.#ticks.slice(-seconds / TICK_S).reduce((total, tick) => total + tick[of], 0)
  }
}

/**
 * The example of background analysis in the documentation of Argo Rollouts (docs/features/analysis.md): 20, 40, 60, 80 % for ten minutes each;
 * from 40 % on, a success rate of at least 95 % by `irate` every five minutes, with a `failureLimit` of 3. More failures than that abort
 * (`assessMetricStatus` in analysis/analysis.go), and so do more than four errors in a row, its default.
 */
export function argoStyle(): Controller {
  const [STEP_S, INTERVAL_S, SUCCESS_MIN, FAILURE_LIMIT, ERROR_LIMIT] = [600, 300, 0.95, 3, 4]
  const WEIGHTS = [0.2, 0.4, 0.6, 0.8]
  /** `irate` looks at the last two scrapes, which are 15 s apart in Istio's Prometheus. */
  const SCRAPE_S = 15
  const recent = new Recent()
  let [failures, errorsInRow, step] = [0, 0, 0]
  return {
    get share() {
      return WEIGHTS[step]!
    },
    tick(nowS, { candidate }) {
      recent.add(candidate)
      if (nowS >= STEP_S && nowS % INTERVAL_S === 0) {
        const requests = recent.sum('requests', SCRAPE_S)
        // Without a series there is an error; 0 / 0 is no success.
        errorsInRow = recent.any ? 0 : errorsInRow + 1
        if (recent.any && !(1 - recent.sum('failed', SCRAPE_S) / requests >= SUCCESS_MIN)) failures++
        if (failures > FAILURE_LIMIT || errorsInRow > ERROR_LIMIT) return 'back'
      }
      if (nowS % STEP_S === 0) step++
      return step === WEIGHTS.length ? 'promoted' : undefined
    },
  }
}

/**
 * The first example in the documentation of Flagger (docs/gitbook/tutorials/istio-progressive-delivery.md): every minute a success rate of at
 * least 99 % over a minute, and a 99th percentile of at most 500 ms over half a minute; then 10 % more, up to 50 %. No value is a failed check;
 * after five it goes back, however many succeeded between them (`advanceCanary` in pkg/controller/scheduler.go).
 */
export function flaggerStyle(): Controller {
  const [INTERVAL_S, SUCCESS_MIN, DURATION_S, THRESHOLD, STEP, MAX] = [60, 0.99, 30, 5, 0.1, 0.5]
  const recent = new Recent()
  let [failed, share] = [0, STEP]
  return {
    get share() {
      return share
    },
    tick(nowS, { candidate }) {
      recent.add(candidate)
      if (nowS % INTERVAL_S !== 0) return undefined
      if (failed >= THRESHOLD) return 'back'
      const requests = recent.sum('requests', DURATION_S)
      const succeeded = 1 - recent.sum('failed', INTERVAL_S) / recent.sum('requests', INTERVAL_S) >= SUCCESS_MIN
      const inTime = recent.sum('over500', DURATION_S) <= 0.01 * requests && requests > 0
      if (!succeeded || !inTime) failed++
      else if (share >= MAX - 1e-9) return 'promoted'
      else share += STEP
      return undefined
    },
  }
}
