/**
 * Means that must stay under a cap: losses, errors, disagreement. Bets whose size depends on what came before depend on its order, and cannot be
 * put together from windows; sums over a fixed grid of bets can. For values from 0 to 1, the mean over the grid of prod(1 + lambda (x - cap)) is
 * a nonnegative supermartingale where the mean is on the other side of the cap (Waudby-Smith & Ramdas, "Estimating means of bounded random
 * variables by betting", 2023, with bets that are fixed).
 */
import { halfWidth, meanOf } from './asymptotic.ts'
import { logSumExp } from './log-sums.ts'
import type { Sums } from './asymptotic.ts'

/** Bets, as parts of the largest that can never lose everything. */
const PARTS = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9]
const LOG_SHARE = -Math.log(PARTS.length)

/** Sums of ln(1 + lambda (x - cap)) for each bet that the mean is under the cap, and that it is over it. They add up over windows and servers. */
export interface Bets {
  readonly cap: number
  readonly count: number
  readonly under: readonly number[]
  readonly over: readonly number[]
}

/** @param cap between 0 and 1, as the values are */
export function noBets(cap: number): Bets {
  return { cap, count: 0, under: PARTS.map(() => 0), over: PARTS.map(() => 0) }
}

/** @param x from 0 to 1: what lies beyond is clipped to that */
export function bet({ cap, count, under, over }: Bets, x: number): Bets {
  const value = Math.min(1, Math.max(0, x)) - cap
  return {
    cap,
    count: count + 1,
    under: under.map((sum, index) => sum + Math.log1p((-PARTS[index]! / (1 - cap)) * value)),
    over: over.map((sum, index) => sum + Math.log1p((PARTS[index]! / cap) * value)),
  }
}

/** @throws RangeError for bets on different caps */
export function mergeBets(a: Bets, b: Bets): Bets {
  if (a.cap !== b.cap) throw new RangeError(`bets on ${a.cap} on one side and on ${b.cap} on the other`)
  const add = (x: readonly number[], y: readonly number[]): number[] => x.map((sum, index) => sum + y[index]!)
  return { cap: a.cap, count: a.count + b.count, under: add(a.under, b.under), over: add(a.over, b.over) }
}

/** ln of the evidence that the mean is under the cap. */
export function logMeanUnder({ under }: Bets): number {
  return LOG_SHARE + logSumExp(under)
}

/** ln of the evidence that it is over it. */
export function logMeanOver({ over }: Bets): number {
  return LOG_SHARE + logSumExp(over)
}

/**
 * Interval of the difference of two means (candidate less base) by sums over units, at every look but for a probability of alpha; where the
 * values have no bounds. It holds from some tens of units in each arm on.
 */
export function differenceOfMeans(base: Sums, candidate: Sums, alpha: number): { readonly low: number; readonly high: number } {
  if (base.count < 2 || candidate.count < 2) return { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY }
  const difference = meanOf(candidate) - meanOf(base)
  const width = halfWidth(base, alpha / 2) + halfWidth(candidate, alpha / 2)
  return { low: difference - width, high: difference + width }
}
