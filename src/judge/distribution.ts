/**
 * Whether the candidate answers differently: classes, or numbers in bins that were frozen before the rollout began. Where both answer alike, an
 * answer of any bin is the candidate's with the probability of its share; each bin is bet against in both directions.
 */
import { logMeanOf } from './log-sums.ts'
import { logUnlike } from './event-share.ts'
import { proportionInterval } from './proportion.ts'
import type { Events } from './event-share.ts'

/** Answers in one bin, under one share. */
export interface Binned {
  readonly bin: string
  /** Share of the candidate as it was set: an observed one would hide what this looks for. */
  readonly share: number
  readonly base: number
  readonly candidate: number
}

/** Rows of one bin, as events; an arm that has no share says nothing. */
function eventsOf(rows: readonly Binned[]): Events[] {
  return rows
    .filter(({ share }) => share > 0 && share < 1)
    .map(({ share, base, candidate }) => ({ share, k: candidate, n: base + candidate }))
}

/**
 * ln of the evidence that the answers are shared out differently over the bins: the mean over all bins, of which those without answers count 1.
 * @param binCount bins that there are, as they were frozen: a number that grows with what is seen would break the promise
 */
export function logDifferent(rows: readonly Binned[], binCount: number): number {
  const bins = [...Map.groupBy(rows, ({ bin }) => bin).values()]
  return logMeanOf(bins.map(eventsOf).map(logUnlike), binCount)
}

/**
 * Bounds of the total variation distance between the answers of both arms, from 0 (alike) to 1 (nothing in common), which hold at every look but
 * for a probability of alpha: from what the share of each bin may be in each arm, all at once, and what may lie in bins that neither has shown.
 * Answers under different shares of the candidate are of different times, and are not put together: the bounds are of the share that has most.
 * @param binCount bins that there are, as they were frozen
 */
export function totalVariation(
  rows: readonly Binned[],
  alpha: number,
  binCount: number,
): { readonly low: number; readonly observed: number; readonly high: number } {
  const byShare = [...Map.groupBy(rows, ({ share }) => share).values()].map(sumsOf)
  const most = byShare.toSorted((a, b) => b.all.base + b.all.candidate - a.all.base - a.all.candidate)[0]
  if (most === undefined || most.all.base === 0 || most.all.candidate === 0) return { low: 0, observed: 0, high: 1 }
  const { bins, all } = most
  const each = alpha / (2 * Math.max(binCount, bins.size) * byShare.length)
  let [observed, low, high] = [0, 0, 0]
  const unseen = Array.from({ length: Math.max(0, binCount - bins.size) }, (): ArmSums => ({ base: 0, candidate: 0 }))
  for (const sum of [...bins.values(), ...unseen]) {
    const [base, candidate] = [proportionInterval(sum.base, all.base, each), proportionInterval(sum.candidate, all.candidate, each)]
    observed += Math.abs(sum.base / all.base - sum.candidate / all.candidate) / 2
    low += Math.max(0, base.low - candidate.high, candidate.low - base.high) / 2
    high += Math.max(base.high - candidate.low, candidate.high - base.low) / 2
  }
  return { low, observed, high: Math.min(1, high) }
}

interface ArmSums {
  readonly base: number
  readonly candidate: number
}

/** Answers by bin, and all of them, over all shares. */
function sumsOf(rows: readonly Binned[]): { readonly bins: ReadonlyMap<string, ArmSums>; readonly all: ArmSums } {
  const bins = new Map<string, ArmSums>()
  let all: ArmSums = { base: 0, candidate: 0 }
  for (const { bin, base, candidate } of rows) {
    const before = bins.get(bin) ?? { base: 0, candidate: 0 }
    bins.set(bin, { base: before.base + base, candidate: before.candidate + candidate })
    all = { base: all.base + base, candidate: all.candidate + candidate }
  }
  return { bins, all }
}

/** The share of the candidate's answers that its most frequent bin has, and the base's in that bin: near 1 against less, its classes have collapsed. */
export function collapse(rows: readonly Binned[]): { readonly bin: string; readonly candidate: number; readonly base: number } | undefined {
  const { bins, all } = sumsOf(rows)
  if (all.base === 0 || all.candidate === 0) return undefined
  const [bin, most] = [...bins].toSorted(([, a], [, b]) => b.candidate - a.candidate)[0]!
  return { bin, candidate: most.candidate / all.candidate, base: most.base / all.base }
}
