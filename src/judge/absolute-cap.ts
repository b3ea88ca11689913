/**
 * Whether a rate lies under a cap, for what happens so seldom that a ratio cannot be told: a binomial likelihood ratio, mixed over rates below
 * (or above) the cap. A nonnegative supermartingale where the rate is on the other side (Wald 1945; Ville 1939).
 */
import { logSumExp } from './log-sums.ts'
import type { Counts } from './evidence.ts'

/** Rates that are bet on, as fractions of the cap, or of what is left above it. */
const FRACTIONS = [0, 0.1, 0.25, 0.5, 0.7, 0.85, 0.95, 0.99]
const LOG_SHARE = -Math.log(FRACTIONS.length)

/** ln of the evidence that the rate is less than `cap`, which is between 0 and 1. */
export function logUnder({ k, exposures }: Pick<Counts, 'k' | 'exposures'>, cap: number): number {
  return logSumExp(FRACTIONS.map((fraction) => LOG_SHARE + logRatio(k, exposures, fraction * cap, cap)))
}

/** ln of the evidence that the rate is more than `cap`. */
export function logOver({ k, exposures }: Pick<Counts, 'k' | 'exposures'>, cap: number): number {
  return logSumExp(FRACTIONS.map((fraction) => LOG_SHARE + logRatio(k, exposures, 1 - fraction * (1 - cap), cap)))
}

/** ln of the likelihood of k of n at one rate, over that at another. */
function logRatio(events: number, n: number, rate: number, other: number): number {
  // Events of units that were assigned earlier may come to more than those assigned now.
  const k = Math.min(events, n)
  return times(k, Math.log(rate / other)) + times(n - k, Math.log((1 - rate) / (1 - other)))
}

/** 0 times minus infinity is 0 here: what did not happen says nothing. */
function times(count: number, log: number): number {
  return count === 0 ? 0 : count * log
}
