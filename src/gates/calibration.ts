import type { Scores } from './sample.ts'

/** Rows whose confidence lies in one bin. */
export interface CalibrationBin {
  readonly from: number
  readonly to: number
  /** Number of rows. */
  readonly rows: number
  readonly weight: number
  /** Mean confidence of the answers. */
  readonly confidence: number
  /** Share of the answers that are right. */
  readonly accuracy: number
}

/**
 * Answers by their confidence, which is the probability of the class that was answered, in bins of equal width, each with its upper end
 * (Guo et al., "On calibration of modern neural networks", 2017). Empty bins are left out.
 * @param count number of classes
 */
export function binned({
  truth,
  scores: { predicted, probabilities },
  count,
  weights,
  bins,
}: {
  readonly truth: Float64Array
  readonly scores: Scores
  readonly count: number
  readonly weights: Float64Array
  readonly bins: number
}): CalibrationBin[] {
  const [rows, weight, confidence, right] = [0, 1, 2, 3].map(() => new Float64Array(bins)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ]
  for (let row = 0; row < truth.length; row++) {
    if (weights[row] === 0) continue
    const answered = predicted[row]!
    const sure = probabilities === undefined || answered < 0 ? Number.NaN : probabilities[row * count + answered]!
    const bin = Math.min(bins - 1, Math.max(0, Math.ceil(sure * bins) - 1))
    if (Number.isNaN(bin)) continue
    rows[bin]! += 1
    weight[bin]! += weights[row]!
    confidence[bin]! += weights[row]! * sure
    if (answered === truth[row]) right[bin]! += weights[row]!
  }
  return [...rows.keys()]
    .filter((bin) => rows[bin]! > 0)
    .map((bin) => ({
      from: bin / bins,
      to: (bin + 1) / bins,
      rows: rows[bin]!,
      weight: weight[bin]!,
      confidence: confidence[bin]! / weight[bin]!,
      accuracy: right[bin]! / weight[bin]!,
    }))
}

/** sum over bins of (weight of the bin / weight of all) |accuracy - confidence|; NaN without rows. */
export function expectedCalibrationError(bins: readonly CalibrationBin[]): number {
  const total = bins.reduce((sum, { weight }) => sum + weight, 0)
  return bins.reduce((sum, { weight, accuracy, confidence }) => sum + weight * Math.abs(accuracy - confidence), 0) / total
}
