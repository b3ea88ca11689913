import { advantage, measureOf, METRIC_KINDS } from '../metrics.ts'
import { MINIMUM_SAMPLE, resultOf, tooFew } from '../result.ts'
import { percent, numbersOf, shortly } from '../words.ts'
import { metricText, pairOf, wrongRows } from './metrics.ts'
import type { GateChecks } from '../../contract/gates.ts'
import type { GateResult } from '../../contract/gate-report.ts'
import type { Found } from '../result.ts'
import type { Sample, Scores } from '../sample.ts'

type BaselineCheck = NonNullable<GateChecks['baseline']>[number]

const GAIN = 0.1

/** Whether a model is better than one that knows the truth of the rows as a whole, and nothing of any of them. */
export function judgeBaseline(check: BaselineCheck, sample: Sample): GateResult {
  return resultOf('baseline', check, `${metricText(check.metric)} against knowing nothing, on ${sample.dataset}`, judged(check, sample))
}

/** gain = (model - base) / (perfect - base). */
function judged({ metric, gain: needed = GAIN, minimumSample = MINIMUM_SAMPLE }: BaselineCheck, sample: Sample): Found {
  const pair = pairOf(metric, sample)
  if ('verdict' in pair) return pair
  if (sample.rows.length < minimumSample) return tooFew(sample.rows.length, minimumSample, sample)
  const { perfect } = METRIC_KINDS[metric]
  const value = pair.candidate(sample.weights)
  const base = measureOf(metric, sample, ignorant(sample))(sample.weights)
  const gain = advantage(metric, value, base) / advantage(metric, perfect, base)
  const found = { numbers: numbersOf({ rows: sample.rows.length, value, base, gain }), dataset: sample.dataset }
  if (!Number.isFinite(gain))
    return {
      ...found,
      verdict: 'insufficient',
      sentence: `${metricText(metric)} says nothing on these rows: their truth is always the same`,
    }
  const text = `${metricText(metric)} is ${shortly(value)}, that of a model that knows nothing ${shortly(base)}: ${percent(gain)} of the way to a perfect one`
  // A gain of nothing is no gain, also where none is asked for.
  return gain > needed || (needed > 0 && gain >= needed)
    ? { ...found, verdict: 'pass', sentence: text }
    : {
        ...found,
        verdict: 'fail',
        sentence: `${text}, ${needed === 0 ? 'and it must be better' : `and ${percent(needed)} are asked for`}`,
        failing: wrongRows(sample),
      }
}

/** The most frequent class with the shares of all as probabilities, or the mean. */
function ignorant({ classes, truth, weights }: Sample): Scores {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  if (classes === undefined) {
    const mean = truth.reduce((sum, value, row) => sum + value * weights[row]!, 0) / total
    return { predicted: new Float64Array(truth.length).fill(mean), probabilities: undefined }
  }
  const shares = new Float64Array(classes.length)
  for (const [row, index] of truth.entries()) shares[index]! += weights[row]! / total
  const often = shares.indexOf(Math.max(...shares))
  return {
    predicted: new Float64Array(truth.length).fill(often),
    probabilities: Float64Array.from({ length: truth.length * classes.length }, (_, at) => shares[at % classes.length]!),
  }
}
