/**
 * Ranges of points that variants have. A change of weights moves the points by which one variant has less and another has more, and nobody
 * else's: whoever has a variant that gets more, or as much as before, keeps it.
 */
import { Type } from 'typebox'
import type { Static } from 'typebox'

/** Points are shared out by the hundredth of a percent. */
export const STEPS = 10_000

export const Range = Type.Object({
  variant: Type.String(),
  from: Type.Integer({ minimum: 0, maximum: STEPS }),
  until: Type.Integer({ minimum: 0, maximum: STEPS }),
})
export type Range = Static<typeof Range>

/**
 * Shares the points out by weights: adjoining ranges in the order of the weights at first, later as few moves as there can be.
 * @param before the ranges in force
 * @returns ranges that cover all points, in their order; none where no variant has a weight
 */
export function shareOut(weights: Readonly<Record<string, number>>, before: readonly Range[] = []): Range[] {
  const wanted = stepsOf(weights)
  if (wanted.size === 0) return []
  const kept: Range[] = []
  const free: Range[] = before.length === 0 ? [{ variant: '', from: 0, until: STEPS }] : []
  for (const [variant, ranges] of Map.groupBy(before, (range) => range.variant)) {
    let surplus = sizeOf(ranges) - (wanted.get(variant) ?? 0)
    // What is given up lies at the end.
    for (const { from, until } of ranges.toSorted((a, b) => b.from - a.from)) {
      const given = Math.min(Math.max(0, surplus), until - from)
      if (given > 0) free.push({ variant, from: until - given, until })
      if (given < until - from) kept.push({ variant, from, until: until - given })
      surplus -= given
    }
  }
  free.sort((a, b) => a.from - b.from)
  for (const [variant, steps] of wanted) {
    let missing = steps - sizeOf(kept.filter((range) => range.variant === variant))
    while (missing > 0) {
      const { variant: from, from: start, until } = free.shift()!
      const taken = Math.min(missing, until - start)
      kept.push({ variant, from: start, until: start + taken })
      if (taken < until - start) free.unshift({ variant: from, from: start + taken, until })
      missing -= taken
    }
  }
  return joined(kept.toSorted((a, b) => a.from - b.from))
}

function sizeOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { from, until }) => sum + until - from, 0)
}

/** Whole steps that add up to all, by the largest remainders; what has a weight has one step at least. */
function stepsOf(weights: Readonly<Record<string, number>>): Map<string, number> {
  const entries = Object.entries(weights).filter(([, weight]) => weight > 0)
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0)
  const exact = entries.map(([variant, weight]) => ({ variant, exact: (weight / total) * STEPS }))
  const steps = new Map(exact.map(({ variant, exact: share }) => [variant, Math.max(1, Math.floor(share))]))
  const byRemainder = exact.toSorted((a, b) => (b.exact % 1) - (a.exact % 1)).map(({ variant }) => variant)
  let left = STEPS - [...steps.values()].reduce((sum, count) => sum + count, 0)
  for (let index = 0; left > 0; index = (index + 1) % byRemainder.length, left--)
    steps.set(byRemainder[index]!, steps.get(byRemainder[index]!)! + 1)
  // Many small shares that were rounded up come from the largest.
  for (; left < 0; left++) {
    const [largest, count] = [...steps].toSorted(([, a], [, b]) => b - a)[0]!
    steps.set(largest, count - 1)
  }
  return steps
}

function joined(ranges: readonly Range[]): Range[] {
  const found: Range[] = []
  for (const range of ranges) {
    const last = found.at(-1)
    if (last !== undefined && last.variant === range.variant && last.until === range.from)
      found[found.length - 1] = { ...last, until: range.until }
    else found.push(range)
  }
  return found
}
