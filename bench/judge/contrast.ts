/** How others decide, over the same windows: for contrast, and not as they would be set up with care. */
import { twoProportionZ } from '../../src/judge/reports/fixed-horizon.ts'
import type { Evidence } from '../../src/judge/evidence.ts'

/** Whether a rollout would be turned back after these windows; fed one after the other. */
export type Watcher = (window: readonly Evidence[]) => boolean

interface Sum {
  k: number
  exposures: number
}

function armsOf(window: readonly Evidence[]): { readonly base: Sum; readonly candidate: Sum } {
  const sums = { base: { k: 0, exposures: 0 }, candidate: { k: 0, exposures: 0 } }
  for (const { arm, k, exposures } of window) {
    sums[arm].k += k
    sums[arm].exposures += exposures
  }
  return sums
}

/** The one-sided test of two proportions at 5 %, looked at after each window, over all windows so far. */
export function peekedTest(): Watcher {
  const base = { k: 0, exposures: 0 }
  const candidate = { k: 0, exposures: 0 }
  return (window) => {
    const now = armsOf(window)
    for (const [sum, more] of [
      [base, now.base],
      [candidate, now.candidate],
    ] as const) {
      sum.k += more.k
      sum.exposures += more.exposures
    }
    return twoProportionZ(base, candidate) > 1.645
  }
}

/** A success rate of 99 % in each window, five failures in all: the defaults of a well-known controller. */
export function successThreshold({ rate = 0.99, failures = 5 } = {}): Watcher {
  let left = failures
  return (window) => {
    const { k, exposures } = armsOf(window).candidate
    if (exposures > 0 && 1 - k / exposures < rate) left--
    return left <= 0
  }
}

/** No more than twice the errors of the base in a window, three failures in all. */
export function ratioThreshold({ ratio = 2, failures = 3 } = {}): Watcher {
  let left = failures
  return (window) => {
    const { base, candidate } = armsOf(window)
    if (candidate.exposures > 0 && candidate.k / candidate.exposures > (ratio * base.k) / Math.max(1, base.exposures)) left--
    return left <= 0
  }
}
