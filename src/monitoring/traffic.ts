import { mergeHistograms, quantile } from '../contract/statistics/histogram.ts'
import { WINDOW_MS } from '../contract/observation-window.ts'
import type { HistogramData } from '../contract/statistics/histogram.ts'
import type { Rollup } from './windows.ts'

/** What came to one version, and how it was answered. */
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
  /** Undefined where nothing was answered with success. */
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
}

/** How long after its end a window may be on its way. */
const ARRIVES_MS = 3000

/** The span of time that ended last and whose windows should be here. */
export function recentSpan(now: number, lengthMs: number): { fromMs: number; untilMs: number } {
  const untilMs = Math.floor((now - ARRIVES_MS) / WINDOW_MS) * WINDOW_MS
  return { fromMs: untilMs - lengthMs, untilMs }
}

/** Adds up what servers saw, by version: endpoints in the order of names, of each the busiest version first. */
export function trafficOf(rollups: readonly Rollup[], lengthMs: number): Traffic[] {
  const groups = Map.groupBy(rollups, ({ endpoint, variant, model, version }) => JSON.stringify([endpoint, variant, model, version]))
  const traffic = [...groups.values()].map((some): Traffic => {
    const [{ endpoint, variant, model, version }] = some as [Rollup]
    let [requests, errors, refused] = [0, 0, 0]
    let answered: HistogramData | undefined
    for (const { series } of some)
      for (const { name, labels, statistic } of series) {
        if (statistic.kind !== 'histogram' || name !== 'request_seconds') continue
        const code = Number(labels['code'] ?? 0)
        requests += statistic.count
        if (code >= 500) errors += statistic.count
        else if (code >= 400) refused += statistic.count
        else answered = answered === undefined ? statistic : mergeHistograms(answered, statistic)
      }
    const at = (q: number): number | undefined => (answered === undefined ? undefined : quantile(answered, q) * 1000)
    const ratePerSecond = requests / (lengthMs / 1000)
    return { endpoint, variant, model, version, requests, ratePerSecond, errors, refused, p50Ms: at(0.5), p99Ms: at(0.99) }
  })
  return traffic
    .filter(({ requests }) => requests > 0)
    .toSorted((a, b) => (a.endpoint === b.endpoint ? b.requests - a.requests : a.endpoint < b.endpoint ? -1 : 1))
}
