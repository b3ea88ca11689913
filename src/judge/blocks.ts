/**
 * Failures of one arm that come in bursts (a worker that has crashed, a bad batch, a stall) are not so many independent events. Then a block
 * of time is the sample: of each, by how much the candidate's events exceed their part. Sums of blocks are judged by a confidence sequence
 * that takes their spread as it is.
 */
import { oneSidedWidth } from './asymptotic.ts'
import type { Pair } from './evidence.ts'
import type { Sums } from './asymptotic.ts'

/** Fewer blocks with events than these say nothing of their spread. */
const BLOCKS_MIN = 20
/** Events of one burst that are allowed for until the spread can be told. */
export const BURST_UNTIL_KNOWN = 8

/** By how much, in each block, the candidate's events exceed their part of all events, where it goes wrong `ratio` times as often as the base. */
export function excess(pairs: readonly Pair[], ratio: number): Sums {
  let [count, sum, sumOfSquares] = [0, 0, 0]
  for (const { share, base, candidate } of pairs) {
    const n = base.k + candidate.k
    if (n === 0 || share <= 0 || share >= 1) continue
    const over = candidate.k - (n * ratio * share) / (ratio * share + 1 - share)
    count++
    sum += over
    sumOfSquares += over * over
  }
  return { count, sum, sumOfSquares }
}

/**
 * How far the spread of the candidate's events over the blocks exceeds that of independent ones, which is 1 (Pearson's dispersion), at the
 * likeliest ratio. Undefined where there are too few blocks to tell.
 */
export function dispersion(pairs: readonly Pair[], likeliest: number): number | undefined {
  let [blocks, sum] = [0, 0]
  for (const { share, base, candidate } of pairs) {
    const n = base.k + candidate.k
    const chance = (likeliest * share) / (likeliest * share + 1 - share)
    const variance = n * chance * (1 - chance)
    if (!(variance > 0)) continue
    blocks++
    sum += (candidate.k - n * chance) ** 2 / variance
  }
  return blocks < BLOCKS_MIN ? undefined : sum / (blocks - 1)
}

/**
 * Whether the spread is more than chance would have it: above 1 by three standard deviations of the dispersion of as many blocks, which is
 * about that of a chi-square over its degrees of freedom.
 */
export function isClustered(found: number | undefined, blocks: number): boolean {
  return found !== undefined && found > 1 + 3 * Math.sqrt(2 / Math.max(1, blocks - 1))
}

/** Which side of a ratio the blocks show; `undefined` where neither, or where there are too few. */
export function sideOf(pairs: readonly Pair[], ratio: number, alpha: number): 'worse' | 'better' | undefined {
  const sums = excess(pairs, ratio)
  if (sums.count < BLOCKS_MIN) return undefined
  const mean = sums.sum / sums.count
  const width = oneSidedWidth(sums, alpha)
  return mean > width ? 'worse' : mean < -width ? 'better' : undefined
}
