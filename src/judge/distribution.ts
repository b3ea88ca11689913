/**
 * Whether the candidate answers differently: classes, or numbers in bins that were frozen before the rollout began. Where both answer alike, an
 * answer of any bin is the candidate's with the probability of its share; each bin is bet against in both directions.
 */
import { logMean, logSumExp } from './log-sums.ts'
import { logBetter, logWorse, ratioInterval } from './event-share.ts'
import type { Events } from './event-share.ts'

/** Answers in one bin, under one share. */
export interface Binned {
  readonly bin: string
  /** Share of the candidate as it was set: an observed one would hide what this looks for. */
  readonly share: number
  readonly base: number
  readonly candidate: number
}

function byBin(rows: readonly Binned[]): Map<string, Events[]> {
  const bins = new Map<string, Map<number, { k: number; n: number }>>()
  for (const { bin, share, base, candidate } of rows) {
    if (share <= 0 || share >= 1) continue
    let shares = bins.get(bin)
    if (shares === undefined) bins.set(bin, (shares = new Map()))
    let sum = shares.get(share)
    if (sum === undefined) shares.set(share, (sum = { k: 0, n: 0 }))
    sum.k += candidate
    sum.n += base + candidate
  }
  return new Map([...bins].map(([bin, shares]) => [bin, [...shares].map(([share, sum]) => ({ share, ...sum }))]))
}

/** ln of the evidence that the answers are shared out differently over the bins: the mean over bins and directions, each of which is one. */
export function logDifferent(rows: readonly Binned[]): number {
  const bins = [...byBin(rows).values()].map((events) => logMean(logWorse(events, 1), logBetter(events, 1)))
  return bins.length === 0 ? 0 : logSumExp(bins) - Math.log(bins.length)
}

/**
 * Bounds of the total variation distance between the answers of both arms, from 0 (alike) to 1 (nothing in common), which hold at every look but
 * for a probability of alpha. They come of what each bin's ratio may be, all bins at once.
 */
export function totalVariation(
  rows: readonly Binned[],
  alpha: number,
): { readonly low: number; readonly observed: number; readonly high: number } {
  const bins = byBin(rows)
  const sums = new Map<string, { base: number; candidate: number }>()
  let [base, candidate] = [0, 0]
  for (const row of rows) {
    const sum = sums.get(row.bin) ?? { base: 0, candidate: 0 }
    sums.set(row.bin, { base: sum.base + row.base, candidate: sum.candidate + row.candidate })
    base += row.base
    candidate += row.candidate
  }
  if (base === 0 || candidate === 0) return { low: 0, observed: 0, high: 1 }
  let [observed, low, high] = [0, 0, 0]
  for (const [bin, sum] of sums) {
    const p = sum.base / base
    observed += Math.abs(p - sum.candidate / candidate) / 2
    const { low: least, high: most } = ratioInterval(bins.get(bin) ?? [], alpha / sums.size)
    // The distance is the sum of what one arm has more of, and of what it has less of: either is half of both.
    low += (p * (least > 1 ? least - 1 : most < 1 ? 1 - most : 0)) / 2
    high += (p * Math.max(Math.abs(most - 1), Math.abs(1 - least))) / 2
  }
  return { low: Math.min(low, observed), observed, high: Math.min(1, Math.max(high, observed)) }
}

/** The share of the candidate's answers that its most frequent bin has, and the base's in that bin: near 1 against less, its classes have collapsed. */
export function collapse(rows: readonly Binned[]): { readonly bin: string; readonly candidate: number; readonly base: number } | undefined {
  const sums = new Map<string, { base: number; candidate: number }>()
  for (const row of rows) {
    const sum = sums.get(row.bin) ?? { base: 0, candidate: 0 }
    sums.set(row.bin, { base: sum.base + row.base, candidate: sum.candidate + row.candidate })
  }
  const all = [...sums.values()].reduce((total, sum) => ({ base: total.base + sum.base, candidate: total.candidate + sum.candidate }), {
    base: 0,
    candidate: 0,
  })
  if (all.base === 0 || all.candidate === 0) return undefined
  const [bin, most] = [...sums].toSorted(([, a], [, b]) => b.candidate - a.candidate)[0]!
  return { bin, candidate: most.candidate / all.candidate, base: most.base / all.base }
}
