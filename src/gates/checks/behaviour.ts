/** How answers change when rows do (Ribeiro et al., "Beyond accuracy: behavioral testing of NLP models with CheckList", 2020). */
import { classIndex } from '../metrics.ts'
import { MINIMUM_SAMPLE, resultOf } from '../result.ts'
import { percent, shortly } from '../words.ts'
import type { GateResult } from '../../contract/gate-report.ts'
import type { Found } from '../result.ts'
import type { DirectionalCheck, InvarianceCheck } from '../perturb.ts'
import type { Sample, Scores } from '../sample.ts'

const SHARE = 0.95
/** Numbers that differ by less are the same: answers have the seven digits of a float32. */
const NOISE = 1e-6

/** Answers for changed rows. */
export interface Changed {
  /** Rows of the sample that were changed. */
  readonly from: readonly number[]
  /** Their answers, in that order. */
  readonly scores: Scores
  /** Changed rows that the model has refused. */
  readonly refused: number
}

export function judgeInvariance(check: InvarianceCheck, sample: Sample, changed: Changed): GateResult {
  const columns = [
    ...Object.keys(check.set ?? {}),
    ...Object.keys(check.case ?? {}),
    ...Object.keys(check.add ?? {}),
    ...(check.permute ?? []),
  ]
  return resultOf('invariance', check, `${columns.join(', ')} must not matter, on ${sample.dataset}`, invariance(check, sample, changed))
}

function invariance(check: InvarianceCheck, sample: Sample, changed: Changed): Found {
  const { share = SHARE, within } = check
  const scarce = tooFewChanged(check, sample, changed)
  if (scarce !== undefined) return scarce
  if (within !== undefined && sample.classes !== undefined && sample.candidate.probabilities === undefined)
    return { verdict: 'error', sentence: 'within is about probabilities, and the answers of the model have none', dataset: sample.dataset }
  const moved = changed.from.filter((row, index) => hasMoved(sample, changed, { row, index, within }))
  const same = 1 - moved.length / changed.from.length
  const numbers = { rows: changed.from.length, refused: changed.refused, moved: moved.length, share: same }
  const text = `${percent(same)} of ${changed.from.length} changed rows are answered the same`
  return same >= share
    ? { verdict: 'pass', sentence: text, numbers, dataset: sample.dataset }
    : {
        verdict: 'fail',
        sentence: `${text}, and ${percent(share)} are asked for`,
        numbers,
        dataset: sample.dataset,
        failing: moved.map((row) => sample.names[row]!),
      }
}

function hasMoved(
  { classes, candidate }: Sample,
  { scores }: Changed,
  { row, index, within }: { row: number; index: number; within: number | undefined },
): boolean {
  const [before, after] = [candidate.predicted[row]!, scores.predicted[index]!]
  // What is no number is never the same.
  if (classes === undefined) return !(Math.abs(after - before) <= (within ?? NOISE * Math.max(1, Math.abs(before))))
  if (within === undefined) return before !== after
  return !classes.every(
    (_, label) => Math.abs(probability(scores, index, label, classes) - probability(candidate, row, label, classes)) <= within,
  )
}

function probability({ probabilities }: Scores, row: number, label: number, classes: readonly string[]): number {
  return probabilities?.[row * classes.length + label] ?? Number.NaN
}

/** Rows that were refused, or are too few, prove nothing. */
function tooFewChanged(
  { minimumSample = MINIMUM_SAMPLE }: { minimumSample?: number },
  { dataset }: Sample,
  { from, refused }: Changed,
): Found | undefined {
  if (from.length >= minimumSample) return undefined
  const told = refused === 0 ? '' : ` (the model refuses ${refused} more)`
  return {
    verdict: 'insufficient',
    sentence: `${from.length} rows can be changed so${told}, and ${minimumSample} are needed`,
    numbers: { rows: from.length, refused },
    dataset,
  }
}

export function judgeDirection(check: DirectionalCheck, sample: Sample, changed: Changed): GateResult {
  const { add, expect, feature } = check
  const name = `${feature} ${add < 0 ? '-' : '+'} ${Math.abs(add)}: ${expect}, on ${sample.dataset}`
  return resultOf('directional', check, name, direction(check, sample, changed))
}

function direction(check: DirectionalCheck, sample: Sample, changed: Changed): Found {
  const { share = SHARE, strict = false, expect } = check
  const { classes, candidate, dataset, names } = sample
  const scarce = tooFewChanged(check, sample, changed)
  if (scarce !== undefined) return scarce
  const label = check.class === undefined ? 1 : classIndex(classes, check.class)
  if (
    classes !== undefined &&
    (candidate.probabilities === undefined || label === undefined || (check.class === undefined && classes.length !== 2))
  )
    return { verdict: 'error', sentence: `it is about the probability of a class: name one of ${classes.join(', ')} with class`, dataset }
  const of = (scores: Scores, row: number): number =>
    classes === undefined ? scores.predicted[row]! : probability(scores, row, label!, classes)
  const steps = changed.from.map((row, index) => (of(changed.scores, index) - of(candidate, row)) * (expect === 'increase' ? 1 : -1))
  const wrong = changed.from.filter((_, index) => !(strict ? steps[index]! > NOISE : steps[index]! >= -NOISE))
  const right = 1 - wrong.length / steps.length
  const still = steps.filter((step) => Math.abs(step) <= NOISE).length
  const found = { numbers: { rows: steps.length, refused: changed.refused, wrong: wrong.length, still, share: right }, dataset }
  if (still === steps.length)
    return { ...found, verdict: 'fail', sentence: `no answer of ${steps.length} moves: the model does not use the feature` }
  const text = `${percent(right)} of ${steps.length} answers go the right way${still === 0 ? '' : `, ${still} of them stay where they are`}`
  return right >= share
    ? { ...found, verdict: 'pass', sentence: text }
    : {
        ...found,
        verdict: 'fail',
        sentence: `${text}, and ${percent(share)} are asked for`,
        failing: wrong.map(
          (row) => `${names[row]}: moves by ${shortly((expect === 'increase' ? 1 : -1) * steps[changed.from.indexOf(row)]!)}`,
        ),
      }
}
