import type { HedgeRules } from './options.ts'

/** How long the last answers of a model took. */
export interface Latencies {
  add(ms: number): void
  /** Time after which a second request is sent; undefined where there is none, or not enough is known. */
  hedgeAfterMs(): number | undefined
}

const KEPT = 100
const NEEDED = 20

export function createLatencies(rules: HedgeRules | undefined): Latencies {
  const kept: number[] = []
  let at = 0
  return {
    add(ms) {
      if (rules === undefined) return
      kept[at] = ms
      at = (at + 1) % KEPT
    },
    hedgeAfterMs() {
      if (rules === undefined || rules.afterMs !== undefined) return rules?.afterMs
      if (kept.length < NEEDED) return undefined
      return kept.toSorted((a, b) => a - b)[Math.min(kept.length - 1, Math.floor(rules.percentile * kept.length))]
    },
  }
}
