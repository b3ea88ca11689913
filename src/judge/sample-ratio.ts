/**
 * Whether the arms get the shares of requests or units that they were given: a router that shares out otherwise, or an arm that loses requests,
 * makes every comparison void. Sequential, by a Dirichlet-multinomial mixture: Lindon & Malek, "Anytime-Valid Inference for Multinomial Count
 * Data" (NeurIPS 2022), section 3.
 */
import { logGamma } from './special.ts'
import type { Pair } from './evidence.ts'

/** How closely the mixture lies around the shares that were given: deviations of about 1 / sqrt(this) are found soonest. */
const CONCENTRATION = 10_000

/** Assigned requests or units under one share. */
export interface Assigned {
  readonly share: number
  readonly candidate: number
  readonly base: number
}

export function assignedOf(pairs: readonly Pair[]): Assigned[] {
  const byShare = new Map<number, Assigned>()
  for (const { share, base, candidate } of pairs) {
    const before = byShare.get(share) ?? { share, candidate: 0, base: 0 }
    byShare.set(share, { share, candidate: before.candidate + candidate.exposures, base: before.base + base.exposures })
  }
  return [...byShare.values()].toSorted((a, b) => a.share - b.share)
}

/** ln of the evidence that requests are not shared out as was set. More than ln(1 / alpha) is enough; 0.001 is what is usual. */
export function logMismatch(assigned: readonly Assigned[]): number {
  let log = 0
  for (const { share, candidate, base } of assigned) {
    if (share <= 0 || share >= 1) {
      // Who is to have nothing and has something is no chance.
      if ((share <= 0 ? candidate : base) > 0) return Number.POSITIVE_INFINITY
      continue
    }
    const [a, b] = [CONCENTRATION * share, CONCENTRATION * (1 - share)]
    log +=
      logGamma(CONCENTRATION) -
      logGamma(CONCENTRATION + candidate + base) +
      logGamma(a + candidate) -
      logGamma(a) +
      logGamma(b + base) -
      logGamma(b) -
      candidate * Math.log(share) -
      base * Math.log(1 - share)
  }
  return log
}
