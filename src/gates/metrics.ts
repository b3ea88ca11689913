/**
 * Metrics as scikit-learn defines them (user guide 3.4), each as a function of the weights of the rows: a slice is weights of which many are 0, a
 * draw of the bootstrap is weights that count how often a row was drawn. What depends on the answers alone is done once.
 */
import { binned, expectedCalibrationError } from './calibration.ts'
import type { MetricName } from '../contract/gates.ts'
import type { Sample, Scores } from './sample.ts'

/** A metric of rows with these weights; NaN where it is not defined, as a ROC AUC of one class. */
export type Measure = (weights: Float64Array) => number

export interface MetricKind {
  readonly task: 'classification' | 'regression'
  /** `zero`: the nearer to 0, the better. */
  readonly better: 'higher' | 'lower' | 'zero'
  /** Value of a model that makes no mistake. */
  readonly perfect: number
  readonly needsProbabilities?: boolean
  /** In the unit of the truth: a margin is then a share of the champion's value. */
  readonly hasUnit?: boolean
}

export const METRIC_KINDS: Readonly<Record<MetricName, MetricKind>> = {
  accuracy: { task: 'classification', better: 'higher', perfect: 1 },
  precision: { task: 'classification', better: 'higher', perfect: 1 },
  recall: { task: 'classification', better: 'higher', perfect: 1 },
  f1: { task: 'classification', better: 'higher', perfect: 1 },
  logLoss: { task: 'classification', better: 'lower', perfect: 0, needsProbabilities: true },
  rocAuc: { task: 'classification', better: 'higher', perfect: 1, needsProbabilities: true },
  brier: { task: 'classification', better: 'lower', perfect: 0, needsProbabilities: true },
  ece: { task: 'classification', better: 'lower', perfect: 0, needsProbabilities: true },
  mae: { task: 'regression', better: 'lower', perfect: 0, hasUnit: true },
  rmse: { task: 'regression', better: 'lower', perfect: 0, hasUnit: true },
  r2: { task: 'regression', better: 'higher', perfect: 1 },
  meanError: { task: 'regression', better: 'zero', perfect: 0, hasUnit: true },
}

/** Smallest probability that a loss is taken of, as scikit-learn clips float64. */
const EPSILON = 2 ** -52
const BINS = 10

/** How much better `value` is than `other`: positive is better, whichever way the metric goes. */
export function advantage(metric: MetricName, value: number, other: number): number {
  const { better } = METRIC_KINDS[metric]
  if (better === 'zero') return Math.abs(other) - Math.abs(value)
  return better === 'higher' ? value - other : other - value
}

/** Index of a label among the classes; undefined where there is none. */
export function classIndex(classes: readonly string[] | undefined, label: string | number | boolean | undefined): number | undefined {
  const index = label === undefined ? -1 : (classes ?? []).indexOf(String(label))
  return index < 0 ? undefined : index
}

/**
 * Prepares a metric of the answers of one model.
 * @param only index of the class that it is of. Default: all classes
 */
export function measureOf(
  metric: MetricName,
  { classes, truth }: Pick<Sample, 'classes' | 'truth'>,
  scores: Scores,
  only?: number,
): Measure {
  const count = classes?.length ?? 0
  const probabilities = scores.probabilities ?? new Float64Array(truth.length * count).fill(Number.NaN)
  switch (metric) {
    case 'accuracy':
      return weightedMean(truth, (row) => (scores.predicted[row] === truth[row] ? 1 : 0))
    case 'precision':
    case 'recall':
    case 'f1':
      return perClass(metric, { truth, predicted: scores.predicted, count }, only)
    case 'logLoss':
      return weightedMean(truth, (row) => -Math.log(clipped(probabilities[row * count + truth[row]!]!)))
    case 'brier':
      return weightedMean(truth, (row) => squaredError(probabilities, { row, count, truth: truth[row]!, only }))
    case 'ece':
      return (weights) => expectedCalibrationError(binned({ truth, scores, count, weights, bins: BINS }))
    case 'rocAuc':
      return only !== undefined || count === 2
        ? rocAuc(truth, probabilities, { count, positive: only ?? 1 })
        : macroAuc(truth, probabilities, count)
    case 'mae':
      return weightedMean(truth, (row) => Math.abs(scores.predicted[row]! - truth[row]!))
    case 'meanError':
      return weightedMean(truth, (row) => scores.predicted[row]! - truth[row]!)
    case 'rmse': {
      const meanSquare = weightedMean(truth, (row) => (scores.predicted[row]! - truth[row]!) ** 2)
      return (weights) => Math.sqrt(meanSquare(weights))
    }
    case 'r2':
      return determination(truth, scores.predicted)
  }
}

function clipped(probability: number): number {
  return Math.min(1 - EPSILON, Math.max(EPSILON, probability))
}

function weightedMean(truth: Float64Array, valueOf: (row: number) => number): Measure {
  const values = truth.map((_, row) => valueOf(row))
  return (weights) => {
    let [sum, total] = [0, 0]
    for (let row = 0; row < values.length; row++) {
      const weight = weights[row]!
      if (weight === 0) continue
      sum += weight * values[row]!
      total += weight
    }
    return sum / total
  }
}

/** Of two classes the squared error of the second; of more the sum over the classes (Brier 1950), as scikit-learn. */
function squaredError(
  probabilities: Float64Array,
  { row, count, truth, only }: { row: number; count: number; truth: number; only: number | undefined },
): number {
  const of = (index: number): number => (probabilities[row * count + index]! - (truth === index ? 1 : 0)) ** 2
  if (only !== undefined || count === 2) return of(only ?? 1)
  let sum = 0
  for (let index = 0; index < count; index++) sum += of(index)
  return sum
}

/** Precision, recall or F1: of one class, or the mean over the classes that occur in truth or answers. 0 where nothing can be divided by. */
function perClass(
  metric: 'precision' | 'recall' | 'f1',
  { truth, predicted, count }: { truth: Float64Array; predicted: Float64Array; count: number },
  only?: number,
): Measure {
  return (weights) => {
    const [right, told, there] = [new Float64Array(count), new Float64Array(count), new Float64Array(count)]
    for (let row = 0; row < truth.length; row++) {
      const weight = weights[row]!
      if (weight === 0) continue
      const [actual, answered] = [truth[row]!, predicted[row]!]
      there[actual]! += weight
      if (answered >= 0) told[answered]! += weight
      if (actual === answered) right[actual]! += weight
    }
    const of = (index: number): number => {
      const whole = metric === 'precision' ? told[index]! : metric === 'recall' ? there[index]! : (told[index]! + there[index]!) / 2
      return whole === 0 ? 0 : right[index]! / whole
    }
    if (only !== undefined) return told[only] === 0 && there[only] === 0 ? Number.NaN : of(only)
    const occurring = [...there.keys()].filter((index) => there[index]! + told[index]! > 0)
    return occurring.reduce((sum, index) => sum + of(index), 0) / occurring.length
  }
}

/** Area under the ROC curve, ties by half (Mann-Whitney): the rows are put in order once. */
function rocAuc(truth: Float64Array, probabilities: Float64Array, { count, positive }: { count: number; positive: number }): Measure {
  const score = (row: number): number => probabilities[row * count + positive]!
  const order = Uint32Array.from(truth.keys()).toSorted((a, b) => score(a) - score(b))
  return (weights) => {
    let [area, below, positives] = [0, 0, 0]
    for (let at = 0; at < order.length;) {
      const tied = score(order[at]!)
      let [own, others] = [0, 0]
      for (; at < order.length && score(order[at]!) === tied; at++) {
        const row = order[at]!
        if (truth[row] === positive) own += weights[row]!
        else others += weights[row]!
      }
      // NaN is equal to nothing, itself included.
      if (Number.isNaN(tied)) return Number.NaN
      area += own * (below + others / 2)
      below += others
      positives += own
    }
    return area / (below * positives)
  }
}

/** The mean over classes, each against all others (one-vs-rest, macro); classes without rows, or with all of them, are left out. */
function macroAuc(truth: Float64Array, probabilities: Float64Array, count: number): Measure {
  const each = Array.from({ length: count }, (_, positive) => rocAuc(truth, probabilities, { count, positive }))
  return (weights) => {
    const areas = each.map((measure) => measure(weights)).filter((area) => !Number.isNaN(area))
    return areas.reduce((sum, area) => sum + area, 0) / areas.length
  }
}

function determination(truth: Float64Array, predicted: Float64Array): Measure {
  const [mean, meanSquare] = [weightedMean(truth, (row) => truth[row]!), weightedMean(truth, (row) => (predicted[row]! - truth[row]!) ** 2)]
  return (weights) => {
    const centre = mean(weights)
    let [spread, total] = [0, 0]
    for (let row = 0; row < truth.length; row++) {
      spread += weights[row]! * (truth[row]! - centre) ** 2
      total += weights[row]!
    }
    return spread === 0 ? Number.NaN : 1 - (meanSquare(weights) * total) / spread
  }
}
