/**
 * Confidence sequences from sums alone, for what has no exact one: means of any distribution, blocks of time. They hold from some tens of
 * observations on, not from the first. Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic
 * confidence sequences" (arXiv 2103.06476), theorem 2.2 and its one-sided form.
 */

/** Sums of observations; they add up over windows and servers. */
export interface Sums {
  readonly count: number
  readonly sum: number
  readonly sumOfSquares: number
}

/** Number of observations at which the interval is to be narrowest. */
const NARROWEST_AT = 500

export function meanOf({ count, sum }: Sums): number {
  return sum / count
}

/** Of the observations, with n in the denominator. */
export function varianceOf({ count, sum, sumOfSquares }: Sums): number {
  return Math.max(0, sumOfSquares / count - (sum / count) ** 2)
}

function rhoSquared(alpha: number, at: number): number {
  return (-2 * Math.log(alpha) + Math.log(-2 * Math.log(alpha) + 1)) / at
}

/** Half the width of the interval around a mean that holds at all times, but for a probability of alpha. */
export function halfWidth(sums: Sums, alpha: number, narrowestAt: number = NARROWEST_AT): number {
  const { count } = sums
  const rho = rhoSquared(alpha, narrowestAt)
  const n = count * rho + 1
  return Math.sqrt(varianceOf(sums) * ((2 * n) / (count * count * rho)) * Math.log(Math.sqrt(n) / alpha))
}

/** How far below the observed mean the true one may lie, likewise; for one side alone. */
export function oneSidedWidth(sums: Sums, alpha: number, narrowestAt: number = NARROWEST_AT): number {
  const { count } = sums
  const rho = rhoSquared(2 * alpha, narrowestAt)
  const n = count * rho + 1
  return Math.sqrt(varianceOf(sums) * ((2 * n) / (count * count * rho)) * Math.log(1 + Math.sqrt(n) / (2 * alpha)))
}
