import { binned, expectedCalibrationError } from '../calibration.ts'
import { MINIMUM_SAMPLE, resultOf, tooFew } from '../result.ts'
import { numbersOf, percent, shortly } from '../words.ts'
import { pairOf } from './metrics.ts'
import type { GateChecks } from '../../contract/gates.ts'
import type { GateResult } from '../../contract/gate-report.ts'
import type { CalibrationBin } from '../calibration.ts'
import type { Found } from '../result.ts'
import type { Sample } from '../sample.ts'

type CalibrationCheck = NonNullable<GateChecks['calibration']>[number]

const ERROR_MAX = 0.1
const BINS = 10

/** Whether answers are right as often as they are sure. */
export function judgeCalibration(check: CalibrationCheck, sample: Sample): GateResult {
  return resultOf('calibration', check, `calibration on ${sample.dataset}`, judged(check, sample))
}

function judged({ max = ERROR_MAX, bins = BINS, minimumSample = MINIMUM_SAMPLE }: CalibrationCheck, sample: Sample): Found {
  const brier = pairOf('brier', sample)
  if ('verdict' in brier) return brier
  if (sample.rows.length < minimumSample) return tooFew(sample.rows.length, minimumSample, sample)
  const { truth, candidate: scores, weights, classes = [], dataset } = sample
  const found = binned({ truth, scores, count: classes.length, weights, bins })
  const error = expectedCalibrationError(found)
  const worst = found.toSorted((a, b) => offOf(b) * b.weight - offOf(a) * a.weight)[0]
  const text = `expected calibration error is ${shortly(error)}${worst === undefined || error <= max ? '' : `, ${shortly(max)} is accepted: ${binText(worst)}`}`
  return {
    verdict: error <= max ? 'pass' : Number.isNaN(error) ? 'insufficient' : 'fail',
    sentence: text,
    numbers: numbersOf({ rows: sample.rows.length, ece: error, brier: brier.candidate(weights) }),
    parts: found.map((bin) => ({
      name: `confidence ${shortly(bin.from)} to ${shortly(bin.to)}`,
      verdict: 'pass',
      numbers: { rows: bin.rows, confidence: bin.confidence, accuracy: bin.accuracy },
    })),
    dataset,
  }
}

function offOf({ accuracy, confidence }: CalibrationBin): number {
  return Math.abs(accuracy - confidence)
}

function binText({ accuracy, confidence, rows }: CalibrationBin): string {
  return `where it is ${percent(confidence)} sure it is right in ${percent(accuracy)} of ${rows} rows`
}
