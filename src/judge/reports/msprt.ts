/**
 * The mixture sequential probability ratio test of experimentation platforms, for reports: arms of equal size, and only as good as the normal
 * approximation. Johari, Pekelis & Walsh, "Always Valid Inference" (arXiv 1512.04922).
 */

/** ln of the statistic for n pairs of proportions; more than ln(1 / alpha) rejects that they are equal. @param tau2 variance of the mixture */
export function logMsprt({
  n,
  base,
  candidate,
  tau2,
}: {
  readonly n: number
  readonly base: number
  readonly candidate: number
  readonly tau2: number
}): number {
  const v = base * (1 - base) + candidate * (1 - candidate)
  if (v === 0) return 0
  return 0.5 * Math.log(v / (v + n * tau2)) + (n * n * tau2 * (candidate - base) ** 2) / (2 * v * (v + n * tau2))
}
