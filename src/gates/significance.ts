/** Tests of two models on the same rows. */
import { logGamma, normalQuantile } from '../judge/special.ts'

const HALVINGS = 60

/** ln of the probability of `k` of `n`. */
function logBinomial(k: number, n: number, p: number): number {
  if (p <= 0) return k === 0 ? 0 : Number.NEGATIVE_INFINITY
  if (p >= 1) return k === n ? 0 : Number.NEGATIVE_INFINITY
  return logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1) + k * Math.log(p) + (n - k) * Math.log1p(-p)
}

/** Probability of `k` or fewer of `n`. */
function binomialCdf(k: number, n: number, p: number): number {
  let sum = 0
  for (let each = 0; each <= k; each++) sum += Math.exp(logBinomial(each, n, p))
  return Math.min(1, sum)
}

/** What McNemar's test says of two classifiers. */
export interface McNemar {
  /** Exact, two-sided. */
  readonly p: number
  /** Interval of the difference of the accuracies (candidate less champion). */
  readonly low: number
  readonly high: number
}

/**
 * McNemar's exact test (Q. McNemar, 1947; Fagerland, Lydersen, Laake, "The McNemar test for binary matched-pairs data", 2013, section 2): of the rows that
 * one of the two has wrong and the other right, each is as likely the fault of the one as of the other. The interval is that of Clopper and Pearson
 * (1934) for the share of these rows, which excludes 0 where p is below alpha. Its lower end, which promises that nothing is worse by more, is the lower
 * one of that and of Tango's, as the number of rows that they differ on is chance too.
 * @param candidate rows that only the candidate has wrong
 * @param champion rows that only the champion has wrong
 * @param rows all rows
 */
export function mcnemar({
  candidate,
  champion,
  rows,
  alpha,
}: {
  candidate: number
  champion: number
  rows: number
  alpha: number
}): McNemar {
  const differing = candidate + champion
  if (differing === 0) return { p: 1, low: 0, high: 0 }
  const p = Math.min(1, 2 * binomialCdf(Math.min(candidate, champion), differing, 0.5))
  const { low, high } = clopperPearson(candidate, differing, alpha)
  const scale = differing / rows
  return {
    p,
    low: Math.min(scale * (1 - 2 * high), tangoLow({ better: champion, worse: candidate, rows, alpha })),
    high: scale * (1 - 2 * low),
  }
}

/**
 * Lower end of the score interval of a difference of paired proportions (T. Tango, "Equivalence test and confidence interval for the difference in
 * proportions for the paired-sample design", 1998): the difference at which the score test with the restricted likelihood reaches alpha / 2.
 * @param better rows that speak for the difference
 * @param worse rows that speak against it
 */
export function tangoLow({ better, worse, rows, alpha }: { better: number; worse: number; rows: number; alpha: number }): number {
  const enough = normalQuantile(1 - alpha / 2)
  const score = (difference: number): number => {
    const linear = -better - worse + (2 * rows - better + worse) * difference
    const constant = -worse * difference * (1 - difference)
    // Share of the rows that speak against it, as likely as it can be under this difference.
    const against = (Math.sqrt(linear ** 2 - 8 * rows * constant) - linear) / (4 * rows)
    return (better - worse - rows * difference) / Math.sqrt(rows * (2 * against + difference * (1 - difference)))
  }
  let [low, high] = [-1, (better - worse) / rows]
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (low + high) / 2
    if (score(middle) > enough) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** The shares that `k` of `n` do not speak against, at a level of 1 - alpha. */
export function clopperPearson(k: number, n: number, alpha: number): { readonly low: number; readonly high: number } {
  /** The share at which a probability that falls, or grows, with it reaches alpha / 2. */
  const where = (reached: (share: number) => boolean): number => {
    let [low, high] = [0, 1]
    for (let halving = 0; halving < HALVINGS; halving++) {
      const middle = (low + high) / 2
      if (reached(middle)) high = middle
      else low = middle
    }
    return (low + high) / 2
  }
  return {
    low: k === 0 ? 0 : where((share) => 1 - binomialCdf(k - 1, n, share) >= alpha / 2),
    high: k === n ? 1 : where((share) => binomialCdf(k, n, share) <= alpha / 2),
  }
}

/** What a bootstrap says of a difference. */
export interface Bootstrapped {
  readonly low: number
  readonly high: number
  /** Two-sided: twice the smaller share of draws on one side of 0. */
  readonly p: number
  /** Draws in which the difference was defined. */
  readonly draws: number
}

/**
 * Percentile interval of the paired bootstrap (Efron, Tibshirani, "An introduction to the bootstrap", 1993, chapter 13): rows are drawn with
 * replacement, each with the answers of both models.
 * @param rows that are drawn from
 * @param difference of rows with these weights; draws in which it is NaN are left out
 */
export function bootstrap(
  { rows, weights, draws, seed, alpha }: { rows: readonly number[]; weights: Float64Array; draws: number; seed: number; alpha: number },
  difference: (weights: Float64Array) => number,
): Bootstrapped {
  const random = randomOf(seed)
  const drawn = new Float64Array(weights.length)
  const found: number[] = []
  for (let draw = 0; draw < draws; draw++) {
    drawn.fill(0)
    for (let each = 0; each < rows.length; each++) {
      const row = rows[Math.floor(random() * rows.length)]!
      drawn[row]! += weights[row]!
    }
    const value = difference(drawn)
    if (!Number.isNaN(value)) found.push(value)
  }
  const sorted = Float64Array.from(found).toSorted()
  const [under, over] = [found.filter((value) => value <= 0).length, found.filter((value) => value >= 0).length]
  return {
    low: quantile(sorted, alpha / 2),
    high: quantile(sorted, 1 - alpha / 2),
    p: Math.min(1, (2 * Math.min(under, over)) / found.length),
    draws: found.length,
  }
}

/** Between the two nearest values, as numpy's `linear` (Hyndman, Fan 1996, type 7). @param sorted ascending */
export function quantile(sorted: Float64Array, p: number): number {
  const at = p * (sorted.length - 1)
  const below = Math.floor(at)
  const value = sorted[below] ?? Number.NaN
  const next = sorted[below + 1]
  return next === undefined ? value : value + (at - below) * (next - value)
}

/**
 * p-values of several tests, corrected so that one false alarm among all is as likely as alpha (Holm, "A simple sequentially rejective multiple test
 * procedure", 1979). In the order given.
 */
export function holm(values: readonly number[]): number[] {
  const order = [...values.keys()].toSorted((a, b) => values[a]! - values[b]!)
  const corrected = values.map(() => 1)
  let largest = 0
  for (const [rank, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (values.length - rank) * values[index]!))
    corrected[index] = largest
  }
  return corrected
}

/** Numbers from 0 to 1 (mulberry32, T. Ettinger): the same for the same seed, wherever they are drawn. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
