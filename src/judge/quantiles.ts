/**
 * Quantiles of two arms, for reports: from histograms over equal edges, which merge. Howard & Ramdas, "Sequential estimation of quantiles with
 * applications to A/B testing and best-arm identification" (Bernoulli 2022): section 4, and the beta-binomial mixture of Howard, Ramdas,
 * McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021).
 */
import { logBeta } from './special.ts'

/** Observations of one arm below each edge; the last bucket has no edge. */
export interface Buckets {
  readonly edges: readonly number[]
  readonly counts: readonly number[]
}

/** Observations that the mixture is best for. */
const BEST_AT = 500

/**
 * ln of the two-sided beta-binomial mixture for a sum s of values that are 1 - q with probability q and -q otherwise, with the variance v of so
 * many of them. Proposition 7 of the second paper, with its tuning for {@link BEST_AT} observations at `alpha`.
 */
export function logMixture(s: number, v: number, q: number, alpha: number): number {
  const [g, h] = [q, 1 - q]
  const vBest = BEST_AT * g * h
  const rho = vBest / (2 * Math.log(1 / alpha) + Math.log(1 + 2 * Math.log(1 / alpha)))
  const r = Math.max(rho - g * h, 1e-3 * g * h)
  return (
    -((v + h * s) / h) * Math.log(g) -
    ((v - g * s) / g) * Math.log(h) +
    logBeta((r + v - g * s) / g, (r + v + h * s) / h) -
    logBeta(r / g, r / h)
  )
}

/**
 * ln of the evidence that the q-quantiles of both arms lie in different buckets. For each bucket: how much speaks against the quantile of the one
 * arm being in it, and how much against that of the other; the least over all buckets is evidence against any that they share. Every bucket
 * counts, as leaving one out would find too much.
 * @throws RangeError for arms with different edges
 */
export function logQuantilesDiffer(a: Buckets, b: Buckets, q: number, alpha = 0.05): number {
  requireSameEdges(a, b)
  const [first, second] = [against(a, q, alpha), against(b, q, alpha)]
  return first.reduce((least, log, index) => Math.min(least, log + second[index]!), Number.POSITIVE_INFINITY)
}

/** ln of the evidence against the quantile's being in each bucket: too few lie up to its end, or too many before it begins. */
function against({ counts }: Buckets, q: number, alpha: number): number[] {
  const n = counts.reduce((sum, count) => sum + count, 0)
  if (n === 0) return counts.map(() => 0)
  const log = (share: number): number => logMixture(n * (share - q), n * q * (1 - q), q, alpha)
  const least = minimum(log)
  let before = 0
  return counts.map((count) => {
    const [from, to] = [before / n, (before + count) / n]
    before += count
    return log(to < least ? to : from > least ? from : least)
  })
}

/** Where a function without a second valley is least, between 0 and 1: by golden sections. */
function minimum(log: (share: number) => number): number {
  const golden = (Math.sqrt(5) - 1) / 2
  let [low, high] = [0, 1]
  for (let step = 0; step < 60; step++) {
    const [left, right] = [high - golden * (high - low), low + golden * (high - low)]
    if (log(left) < log(right)) high = right
    else low = left
  }
  return (low + high) / 2
}

/**
 * Half the width of a band around the share below any edge, which holds for all edges at all times from `from` observations on, but for a
 * probability of alpha: 0.85 sqrt((ln(1 + ln(n / from)) + c) / n), with c for the alpha (Howard & Ramdas, theorem 2, with their A = 0.85).
 */
export function bandWidth(n: number, alpha: number, from = 32): number {
  if (n < from) return 1
  return Math.min(1, 0.85 * Math.sqrt((Math.log(1 + Math.log(n / from)) + bandConstant(alpha)) / n))
}

/**
 * c where the bound on the probability of leaving the band is alpha: 4 exp(-2 A^2 c) summed over epochs of times eta apart, at the eta and
 * the split that make it least.
 */
function bandConstant(alpha: number): number {
  let [low, high] = [0, 100]
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2
    if (bandProbability(middle) > alpha) low = middle
    else high = middle
  }
  return high
}

const A = 0.85

/** Theorem 2: alpha(A, C) = inf over eta of 4 e^(-gamma^2 C) (1 + 1 / ((gamma^2 - 1) ln eta)), gamma^2 = 2 / eta (A - sqrt(2 (eta - 1) / C))^2. */
function bandProbability(c: number): number {
  let least = 1
  for (let step = 1; step <= 400; step++) {
    const eta = 1 + (2 * A * A - 1) * (step / 401)
    const root = A - Math.sqrt((2 * (eta - 1)) / c)
    if (root <= 0) continue
    const gamma2 = (2 / eta) * root * root
    if (gamma2 <= 1) continue
    least = Math.min(least, 4 * Math.exp(-gamma2 * c) * (1 + 1 / ((gamma2 - 1) * Math.log(eta))))
  }
  return least
}

/** The edges between which a quantile lies, at all times but for a probability of alpha; the last may be infinite. */
export function quantileInterval(buckets: Buckets, q: number, alpha: number): { readonly low: number; readonly high: number } {
  const { edges, counts } = buckets
  const n = counts.reduce((sum, count) => sum + count, 0)
  const width = bandWidth(n, alpha)
  let below = 0
  let [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (const [index, edge] of edges.entries()) {
    below += counts[index]!
    if (below / n + width < q) low = edge
    if (below / n - width >= q) {
      high = edge
      break
    }
  }
  return { low, high }
}

/** @throws RangeError */
function requireSameEdges(a: Buckets, b: Buckets): void {
  if (a.edges.length !== b.edges.length || a.edges.some((edge, index) => edge !== b.edges[index]))
    throw new RangeError('the arms have different edges, by which they cannot be compared')
}
