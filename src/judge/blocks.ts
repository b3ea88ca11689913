/**
 * Failures of one arm that come in bursts (a worker that has crashed, a bad batch, a stall) are not so many independent events. Then a block
 * of time is the sample: of each, by how much the candidate's events exceed their part. Sums of blocks are judged by a confidence sequence
 * that takes their spread as it is.
 */
import { oneSidedWidth } from './asymptotic.ts'
import { chanceOf } from './event-share.ts'
import type { Pair } from './evidence.ts'
import type { Sums } from './asymptotic.ts'

/** Fewer blocks with events than these say nothing of their spread. */
const BLOCKS_MIN = 20
/** Events of one burst that are allowed for at least, until the spread can be told. */
const BURST_UNTIL_KNOWN = 8

/** The pairs of one time, of all servers: what goes wrong on all of them at a time is one incident. */
export type Block = readonly Pair[]

/** @param pairs in the order of time */
export function blocksOf(pairs: readonly Pair[]): Block[] {
  const blocks: Pair[][] = []
  for (const pair of pairs) {
    const last = blocks.at(-1)
    const before = last?.[0]
    if (before !== undefined && before.fromMs === pair.fromMs && before.untilMs === pair.untilMs) last!.push(pair)
    else blocks.push([pair])
  }
  return blocks
}

/** Sum over the pairs of a block. */
function over(block: Block, of: (pair: Pair) => number): number {
  let sum = 0
  for (const pair of block) sum += of(pair)
  return sum
}

/** Events that one burst may have had: as many as an arm had in any one block. */
export function largestBurst(blocks: readonly Block[]): number {
  let most = BURST_UNTIL_KNOWN
  for (const block of blocks)
    most = Math.max(
      most,
      over(block, ({ base }) => base.k),
      over(block, ({ candidate }) => candidate.k),
    )
  return most
}

interface Excess {
  /** By how much the candidate's events exceed their part of all events. */
  readonly over: number
  /** What that varies by, where events are independent. */
  readonly variance: number
}

/**
 * Of each block with events.
 * @param ratio how many times as often as the base the candidate goes wrong
 */
function excesses(blocks: readonly Block[], ratio: number, counted: 'k' | 'kInHorizon' = 'k'): Excess[] {
  const found: Excess[] = []
  for (const block of blocks) {
    let [all, sum, variance] = [0, 0, 0]
    for (const { share, base, candidate } of block) {
      const n = base[counted] + candidate[counted]
      if (n === 0 || share <= 0 || share >= 1) continue
      const chance = chanceOf(ratio, share)
      all += n
      sum += candidate[counted] - n * chance
      variance += n * chance * (1 - chance)
    }
    if (all > 0) found.push({ over: sum, variance })
  }
  return found
}

/** How far events are from coming one by one; undefined where there are too few blocks to tell. */
export interface Spread {
  /** The spread of the candidate's part over the blocks, as a multiple of what independent events would have (Pearson's dispersion). */
  readonly dispersion: number
  /** Whether that is more than chance would have it: events of an arm come in bursts. */
  readonly isClustered: boolean
}

/** @param likeliest ratio at which the dispersion is measured */
export function spreadOf(blocks: readonly Block[], likeliest: number): Spread | undefined {
  const known = excesses(blocks, likeliest).filter(({ variance }) => variance > 0)
  if (known.length < BLOCKS_MIN) return undefined
  const dispersion = known.reduce((sum, { over: by, variance }) => sum + by ** 2 / variance, 0) / (known.length - 1)
  return { dispersion, isClustered: isMore(dispersion, known.length) }
}

/** Above 1 by three standard deviations, which are those of a chi-square over its degrees of freedom. */
function isMore(dispersion: number, blocks: number): boolean {
  return dispersion > 1 + 3 * Math.sqrt(2 / (blocks - 1))
}

/**
 * Whether events of the base come more unevenly than chance would have it, for the requests that it had. Bursts of the base alone make a
 * candidate look good; so do rates that move, where blocks do no harm.
 */
export function isRestless(blocks: readonly Block[]): boolean {
  const base = blocks.map((block) => ({ k: over(block, (pair) => pair.base.k), exposures: over(block, (pair) => pair.base.exposures) }))
  const rate = base.reduce((sum, { k }) => sum + k, 0) / base.reduce((sum, { exposures }) => sum + exposures, 0)
  const known = base.filter(({ exposures }) => exposures * rate > 0)
  if (known.length < BLOCKS_MIN) return false
  const spread = known.reduce((sum, { k, exposures }) => sum + (k - exposures * rate) ** 2 / (exposures * rate), 0) / (known.length - 1)
  return isMore(spread, known.length)
}

/** Which side of a ratio the blocks show; `undefined` where neither, or where there are too few. */
export function sideOf(
  blocks: readonly Block[],
  { ratio, alpha, counted = 'k' }: { readonly ratio: number; readonly alpha: number; readonly counted?: 'k' | 'kInHorizon' },
): 'worse' | 'better' | undefined {
  const found = excesses(blocks, ratio, counted)
  if (found.length < BLOCKS_MIN) return undefined
  let [sum, sumOfSquares] = [0, 0]
  for (const { over: by } of found) {
    sum += by
    sumOfSquares += by * by
  }
  const sums: Sums = { count: found.length, sum, sumOfSquares }
  const width = oneSidedWidth(sums, alpha)
  const mean = sum / found.length
  return mean > width ? 'worse' : mean < -width ? 'better' : undefined
}
