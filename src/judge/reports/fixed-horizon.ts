/** What people know from textbooks, for reports alone: looked at more than once, it alarms far more often than it says. */
import { normalCdf, normalQuantile } from '../special.ts'
import type { Counts } from '../evidence.ts'

type Proportion = Pick<Counts, 'k' | 'exposures'>

/** z of the pooled test of two proportions, above 0 where the candidate's is larger; 0 where nothing can be told. */
export function twoProportionZ(base: Proportion, candidate: Proportion): number {
  const pooled = (base.k + candidate.k) / (base.exposures + candidate.exposures)
  const variance = pooled * (1 - pooled) * (1 / base.exposures + 1 / candidate.exposures)
  return variance > 0 ? (candidate.k / candidate.exposures - base.k / base.exposures) / Math.sqrt(variance) : 0
}

/** p of the one-sided test that the candidate's proportion is larger: for one look at a size that was set beforehand. */
export function oneLookP(base: Proportion, candidate: Proportion): number {
  return 1 - normalCdf(twoProportionZ(base, candidate))
}

/** Requests of each arm that one look needs to tell two proportions apart. */
export function sampleSize(from: number, to: number, { alpha, power }: { readonly alpha: number; readonly power: number }): number {
  const z = normalQuantile(1 - alpha / 2) + normalQuantile(power)
  return Math.ceil((z * z * (from * (1 - from) + to * (1 - to))) / (to - from) ** 2)
}
