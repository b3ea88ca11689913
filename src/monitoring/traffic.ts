import { mergeHistograms, quantile } from '../contract/statistics/histogram.ts'
import { WINDOW_MS } from '../contract/observation-window.ts'
import type { HistogramData } from '../contract/statistics/histogram.ts'
import type { Rollup } from './windows.ts'

/** Requests to one version, and their answers. */
export interface Traffic {
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
  readonly requests: number
  readonly ratePerSecond: number
  /** Answers with a status of 500 or more. */
  readonly errors: number
  /** Answers with a status of 400 to 499. */
  readonly refused: number
  /** Requests at a time, and those of them that waited, on average: seconds of what was answered, by those that passed (Little's law). */
  readonly inFlight: number
  readonly queued: number
  /** Undefined if no request succeeded. */
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
}

/** Time that a window may take to arrive after its end. */
const ARRIVES_MS = 3000

/** The latest span of time whose windows should have arrived. */
export function recentSpan(now: number, lengthMs: number): { fromMs: number; untilMs: number } {
  const untilMs = Math.floor((now - ARRIVES_MS) / WINDOW_MS) * WINDOW_MS
  return { fromMs: untilMs - lengthMs, untilMs }
}

/** Adds up rollups by version: endpoints in the order of names, the busiest version of each first. */
export function trafficOf(rollups: readonly Rollup[], lengthMs: number): Traffic[] {
  const groups = Map.groupBy(rollups, ({ endpoint, variant, model, version }) => JSON.stringify([endpoint, variant, model, version]))
  const traffic = [...groups.values()].map((some): Traffic => {
    const [{ endpoint, variant, model, version }] = some as [Rollup]
    let [requests, errors, refused] = [0, 0, 0]
    let [inSeconds, waitedSeconds] = [0, 0]
    let answered: HistogramData | undefined
    for (const { series } of some)
      for (const { name, labels, statistic } of series) {
        if (statistic.kind !== 'histogram') continue
        if (name === 'queue_seconds') waitedSeconds += statistic.sum
        if (name !== 'request_seconds') continue
        inSeconds += statistic.sum
        const code = Number(labels['code'] ?? 0)
        requests += statistic.count
        if (code >= 500) errors += statistic.count
        else if (code >= 400) refused += statistic.count
        else answered = answered === undefined ? statistic : mergeHistograms(answered, statistic)
      }
    const at = (q: number): number | undefined => (answered === undefined ? undefined : quantile(answered, q) * 1000)
    const seconds = lengthMs / 1000
    return {
      endpoint,
      variant,
      model,
      version,
      requests,
      ratePerSecond: requests / seconds,
      errors,
      refused,
      inFlight: inSeconds / seconds,
      queued: waitedSeconds / seconds,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    }
  })
  return traffic
    .filter(({ requests }) => requests > 0)
    .toSorted((a, b) => (a.endpoint === b.endpoint ? b.requests - a.requests : a.endpoint < b.endpoint ? -1 : 1))
}
