/**
 * The judgement of Kayenta (NetflixACAJudge-v1.0) of one metric, for those who compare: series of points by time are compared by the
 * Mann-Whitney test, and a difference counts where its interval leaves a quarter of its estimate. It knows nothing of how many requests a point
 * has, and nothing of looking again.
 */
import { normalQuantile } from '../special.ts'

export type KayentaClass = 'Pass' | 'High' | 'Low' | 'Nodata'

export interface KayentaOptions {
  /** Which direction is a failure. */
  readonly direction: 'increase' | 'decrease' | 'either'
  /** Points without a value become 0, or are left out. */
  readonly missing: 'replace' | 'remove'
  /** Whether points far outside of the quartiles are left out. */
  readonly removeOutliers: boolean
}

const CONFIDENCE = 0.98
const TOLERANCE = 0.25
const FENCE = 3

export function kayentaClass(base: readonly number[], candidate: readonly number[], options: KayentaOptions): KayentaClass {
  const [control, experiment] = [prepared(base, options), prepared(candidate, options)]
  if (control.length === 0 || experiment.length === 0) return 'Nodata'
  if (control.length === experiment.length && control.every((value, index) => value === experiment[index])) return 'Pass'
  const { low, estimate, high } = shift(control, experiment)
  const margin = TOLERANCE * Math.abs(estimate)
  if (options.direction !== 'decrease' && low > margin) return 'High'
  if (options.direction !== 'increase' && high < -margin) return 'Low'
  return 'Pass'
}

/** Share of metrics that pass, of those that have data, from 0 to 100; 0 where half of them or more have none. */
export function kayentaScore(classes: readonly KayentaClass[]): number {
  const known = classes.filter((one) => one !== 'Nodata')
  if (known.length <= classes.length / 2) return 0
  return (100 * known.filter((one) => one === 'Pass').length) / known.length
}

function prepared(points: readonly number[], { missing, removeOutliers }: KayentaOptions): number[] {
  const values =
    missing === 'replace' ? points.map((value) => (Number.isNaN(value) ? 0 : value)) : points.filter((value) => !Number.isNaN(value))
  const sorted = values.toSorted((a, b) => a - b)
  if (!removeOutliers || sorted.length === 0) return sorted
  const [first, low, high, last] = [0.01, 0.25, 0.75, 0.99].map((q) => quantile(sorted, q)) as [number, number, number, number]
  const reach = FENCE * (high - low)
  return sorted.filter((value) => value >= Math.min(first, low - reach) && value <= Math.max(last, high + reach))
}

/** Linear between the points, as numpy does by default. */
function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1)
  const below = Math.floor(at)
  return sorted[below]! + (at - below) * ((sorted[below + 1] ?? sorted[below]!) - sorted[below]!)
}

/** How far the candidate lies above the base: Hodges-Lehmann estimate, and the interval of the Mann-Whitney test by its normal approximation. */
function shift(
  base: readonly number[],
  candidate: readonly number[],
): { readonly low: number; readonly estimate: number; readonly high: number } {
  const differences = candidate.flatMap((one) => base.map((other) => one - other)).toSorted((a, b) => a - b)
  const [m, n] = [base.length, candidate.length]
  const half = normalQuantile(1 - (1 - CONFIDENCE) / 2) * Math.sqrt((m * n * (m + n + 1)) / 12)
  const from = Math.max(0, Math.floor((m * n) / 2 - half))
  return { low: differences[from]!, estimate: quantile(differences, 0.5), high: differences[differences.length - 1 - from]! }
}
