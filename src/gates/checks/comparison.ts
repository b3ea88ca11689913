import { advantage, METRIC_KINDS } from '../metrics.ts'
import { MINIMUM_SAMPLE, resultOf, worst } from '../result.ts'
import { bootstrap, holm, mcnemar } from '../significance.ts'
import { numbersOf, rowsText, shortly } from '../words.ts'
import { everySlice, metricText, pairOf, slicesSentence } from './metrics.ts'
import type { GateChecks, MetricName } from '../../contract/gates.ts'
import type { GatePart, GateResult } from '../../contract/gate-report.ts'
import { weightsOf } from '../sample.ts'
import type { Measure } from '../metrics.ts'
import type { Found } from '../result.ts'
import type { Sample } from '../sample.ts'
import type { SliceRows } from '../slices.ts'

type ComparisonCheck = NonNullable<GateChecks['comparisons']>[number]

const ALPHA = 0.05
const MARGIN = 0.01
const MARGIN_OF_SLICES = 0.05
const DRAWS = 10_000
const SEED = 1

/** What a test has found on some rows: positive differences are better. */
interface Tested {
  readonly name: string
  readonly rows: number
  readonly difference: number
  readonly low: number
  readonly high: number
  readonly p: number
  readonly numbers: Record<string, number>
}

/**
 * Whether the candidate is worse than the champion, on the same rows. It passes where the interval of the difference lies above the margin
 * (non-inferiority), fails where it is worse and the interval does not, and where the interval says neither there is not enough data.
 */
export function judgeComparison(check: ComparisonCheck, sample: Sample): GateResult {
  const metric = metricOf(check, sample)
  const by = check.by === undefined ? '' : ` by ${check.by.map(({ column }) => column).join(', ')}`
  const name = `${metricText(metric, check.class)} against the champion${by}, on ${sample.dataset} (${check.test})`
  return resultOf('comparisons', check, name, judged({ check, metric, sample }))
}

function metricOf({ metric, test }: ComparisonCheck, { classes }: Sample): MetricName {
  return metric ?? (test === 'mcnemar' || classes !== undefined ? 'accuracy' : 'mae')
}

/** What is compared. */
interface Comparison {
  readonly check: ComparisonCheck
  readonly metric: MetricName
  readonly sample: Sample
}

function judged(comparison: Comparison): Found {
  const { check, metric, sample } = comparison
  const { dataset } = sample
  const pair = pairOf(metric, sample, check.class)
  if (check.test === 'mcnemar' && (metric !== 'accuracy' || sample.classes === undefined))
    return {
      verdict: 'error',
      sentence: `mcnemar compares right and wrong answers of classifiers; for ${metric} write test: bootstrap`,
      dataset,
    }
  if ('verdict' in pair) return pair
  const { candidate, champion } = pair
  if (champion === undefined) return { verdict: 'insufficient', sentence: `there is no champion whose ${metric} is known`, dataset }
  const slices = check.by === undefined ? [{ name: dataset, rows: [...sample.rows.keys()] }] : everySlice(check.by, sample)
  if ('verdict' in slices) return slices
  const parts = judgedParts(
    comparison,
    slices.map((slice) => tested(comparison, slice, { candidate, champion })),
  )
  if (check.by === undefined) {
    const [{ verdict, sentence = '', numbers }] = parts as [GatePart]
    return { verdict, sentence, numbers, failing: lostRows(sample), dataset }
  }
  const numbers = { rows: sample.rows.length, slices: parts.length }
  return { verdict: worst(parts.map(({ verdict }) => verdict)), sentence: slicesSentence(parts), numbers, parts, dataset }
}

/** A slice with too few rows for a test. */
interface TooSmall {
  readonly name: string
  readonly tooFew: number
}

function tested(
  { check, metric, sample }: Comparison,
  { name, rows }: SliceRows,
  { candidate, champion }: { readonly candidate: Measure; readonly champion: Measure },
): Tested | TooSmall {
  const { minimumSample = MINIMUM_SAMPLE, alpha = ALPHA, draws = DRAWS, seed = SEED } = check
  if (rows.length < minimumSample) return { name, tooFew: rows.length }
  if (check.test === 'mcnemar') {
    const lost = discordant(sample, rows)
    const [onlyCandidateWrong, onlyChampionWrong] = [lost.candidate.length, lost.champion.length]
    const found = mcnemar({ candidate: onlyCandidateWrong, champion: onlyChampionWrong, rows: rows.length, alpha })
    const difference = (onlyChampionWrong - onlyCandidateWrong) / rows.length
    return { name, rows: rows.length, difference, ...found, numbers: { onlyCandidateWrong, onlyChampionWrong } }
  }
  const difference = (weights: Float64Array): number => advantage(metric, candidate(weights), champion(weights))
  const own = weightsOf(sample, rows)
  const { low, high, p, draws: defined } = bootstrap({ rows, weights: sample.weights, draws, seed, alpha }, difference)
  const numbers = numbersOf({ value: candidate(own), champion: champion(own), draws: defined })
  return { name, rows: rows.length, difference: difference(own), low, high, p, numbers }
}

/** Slices are tested at once: their p-values are corrected together. */
function judgedParts({ check, metric }: Comparison, all: readonly (Tested | TooSmall)[]): GatePart[] {
  const { alpha = ALPHA, minimumSample = MINIMUM_SAMPLE } = check
  const done = all.filter((one): one is Tested => !('tooFew' in one))
  const corrected = new Map(holm(done.map(({ p }) => p)).map((p, index) => [done[index]!, p]))
  return all.map((one): GatePart => {
    if ('tooFew' in one) {
      const sentence = `${rowsText(one.tooFew)}, and ${minimumSample} are needed`
      return { name: one.name, verdict: 'insufficient', numbers: { rows: one.tooFew }, sentence }
    }
    const { name, rows, difference, low, high, p, numbers } = one
    const margin = marginOf(check, metric, one)
    const holmP = check.by === undefined ? undefined : corrected.get(one)
    return {
      name,
      ...verdictOf(one, { margin, worse: difference < 0 && (holmP ?? p) <= alpha }),
      numbers: numbersOf({ rows, difference, low, high, p, holmP, margin, ...numbers }),
    }
  })
}

function marginOf({ margin, by }: ComparisonCheck, metric: MetricName, { numbers }: Tested): number {
  const given = margin ?? (by === undefined ? MARGIN : MARGIN_OF_SLICES)
  return METRIC_KINDS[metric].hasUnit === true ? given * Math.abs(numbers['champion'] ?? 0) : given
}

function verdictOf(
  { difference, low, high }: Tested,
  { margin, worse }: { margin: number; worse: boolean },
): Pick<GatePart, 'verdict' | 'sentence'> {
  const interval = `${shortly(low)} to ${shortly(high)}`
  const text = `${difference === 0 ? 'as good as the champion' : `${difference > 0 ? 'better' : 'worse'} by ${shortly(Math.abs(difference))}`} (${interval})`
  if (Number.isNaN(low)) return { verdict: 'insufficient', sentence: 'the difference is not defined on these rows' }
  if (low >= -margin) return { verdict: 'pass', sentence: text }
  if (worse) return { verdict: 'fail', sentence: `${text}, which is no chance; ${shortly(margin)} worse is accepted` }
  return { verdict: 'insufficient', sentence: `${text}: it may be more than ${shortly(margin)} worse, and these rows are too few to tell` }
}

/** Rows that only one of the two has wrong. */
function discordant(
  { truth, candidate, champion }: Sample,
  rows: readonly number[],
): { readonly candidate: number[]; readonly champion: number[] } {
  const wrong = ({ predicted }: { predicted: Float64Array }, row: number): boolean => predicted[row] !== truth[row]
  return {
    candidate: rows.filter((row) => wrong(candidate, row) && !wrong(champion!, row)),
    champion: rows.filter((row) => !wrong(candidate, row) && wrong(champion!, row)),
  }
}

/** Rows that the champion has right, and the candidate has not. */
function lostRows(sample: Sample): string[] {
  const { classes, names, candidate, truth } = sample
  if (classes === undefined) return []
  return discordant(sample, [...truth.keys()]).candidate.map(
    (row) =>
      `${names[row]}: ${classes[candidate.predicted[row]!] ?? 'an unknown class'}, where the champion rightly says ${classes[truth[row]!]}`,
  )
}
