import { logMixture } from './quantiles.ts'

const HALVINGS = 60
/** Nearer to nothing or all than this no end is looked for. */
const EDGE = 1e-9

/**
 * The shares that k of n do not speak against, at all times but for a probability of alpha: those for which the beta-binomial mixture stays under
 * 1 / alpha (quantiles.ts has its source).
 */
export function proportionInterval(k: number, n: number, alpha: number): { readonly low: number; readonly high: number } {
  if (n === 0) return { low: 0, high: 1 }
  const enough = Math.log(1 / alpha)
  const speaksAgainst = (p: number): boolean => logMixture(k - n * p, n * p * (1 - p), p, 0.05) >= enough
  const observed = k / n
  /** The last share, from the observed one outwards, that is not spoken against. */
  const end = (outermost: number): number => {
    if (!speaksAgainst(Math.min(1 - EDGE, Math.max(EDGE, outermost)))) return outermost
    let [inside, outside] = [Math.min(1 - EDGE, Math.max(EDGE, observed)), Math.min(1 - EDGE, Math.max(EDGE, outermost))]
    for (let halving = 0; halving < HALVINGS; halving++) {
      const middle = (inside + outside) / 2
      if (speaksAgainst(middle)) outside = middle
      else inside = middle
    }
    return inside
  }
  return { low: k === 0 ? 0 : end(0), high: k === n ? 1 : end(1) }
}
