import { advantage, classIndex, measureOf, METRIC_KINDS } from '../metrics.ts'
import { MINIMUM_SAMPLE, resultOf, tooFew, worst } from '../result.ts'
import { weightsOf } from '../sample.ts'
import { slicesOf } from '../slices.ts'
import { missedThresholds } from '../thresholds.ts'
import { numbersOf, percent, rowsText, shortly } from '../words.ts'
import type { GateChecks, MetricName } from '../../contract/gates.ts'
import type { GatePart, GateResult } from '../../contract/gate-report.ts'
import type { Measure } from '../metrics.ts'
import type { Found } from '../result.ts'
import type { Sample } from '../sample.ts'
import type { SliceRows } from '../slices.ts'

type MetricCheck = NonNullable<GateChecks['metrics']>[number]
type SlicesCheck = NonNullable<GateChecks['slices']>[number]

/** One metric of the candidate, and of the champion where there is one. */
interface Pair {
  readonly candidate: Measure
  readonly champion: Measure | undefined
}

/** @returns what stands against measuring it, or the measures */
export function pairOf(metric: MetricName, sample: Sample, label?: string | number | boolean): Pair | Found {
  const { task, needsProbabilities = false } = METRIC_KINDS[metric]
  const own = sample.classes === undefined ? 'regression' : 'classification'
  const wrong = (sentence: string): Found => ({ verdict: 'error', sentence, dataset: sample.dataset })
  if (task !== own) return wrong(`${metric} is a metric of ${task}, and the model does ${own}`)
  if (needsProbabilities && sample.candidate.probabilities === undefined)
    return wrong(`${metric} needs probabilities, and the answers of the model have none`)
  const only = classIndex(sample.classes, label)
  if (label !== undefined && only === undefined)
    return wrong(`the class ${JSON.stringify(label)} is none of ${(sample.classes ?? []).join(', ')}`)
  const comparable = sample.champion !== undefined && (!needsProbabilities || sample.champion.probabilities !== undefined)
  return {
    candidate: measureOf(metric, sample, sample.candidate, only),
    champion: comparable ? measureOf(metric, sample, sample.champion!, only) : undefined,
  }
}

export function metricText(metric: MetricName, label?: string | number | boolean): string {
  return label === undefined ? metric : `${metric} of ${String(label)}`
}

export function judgeMetric(check: MetricCheck, sample: Sample): GateResult {
  return resultOf('metrics', check, `${metricText(check.metric, check.class)} on ${sample.dataset}`, judged(check, sample))
}

function judged(check: MetricCheck, sample: Sample): Found {
  const { minimumSample = MINIMUM_SAMPLE, metric } = check
  const pair = pairOf(metric, sample, check.class)
  if ('verdict' in pair) return pair
  if (sample.rows.length < minimumSample) return tooFew(sample.rows.length, minimumSample, sample)
  const { numbers, missed, value, baseline } = measured(check, pair, sample.weights)
  const base: Pick<Found, 'numbers' | 'dataset'> = { numbers: { rows: sample.rows.length, ...numbers }, dataset: sample.dataset }
  if (Number.isNaN(value))
    return {
      ...base,
      verdict: 'insufficient',
      sentence: `${metricText(metric, check.class)} is not defined on these rows: they are all of one kind`,
    }
  const text = `${metricText(metric, check.class)} is ${shortly(value)}`
  if (missed.length > 0) return { ...base, verdict: 'fail', sentence: `${text}: ${missed.join('; ')}`, failing: wrongRows(sample) }
  if (baseline === undefined && asksChampion(check))
    return boundsOnly(check)
      ? { ...base, verdict: 'insufficient', sentence: `${text}, and there is no champion with this metric to compare it with` }
      : { ...base, verdict: 'pass', sentence: `${text}; there is no champion to compare it with` }
  return { ...base, verdict: 'pass', sentence: baseline === undefined ? text : `${text}, that of the champion ${shortly(baseline)}` }
}

/** Whether nothing but the champion was to decide. */
function boundsOnly({ min, max }: Pick<MetricCheck, 'min' | 'max'>): boolean {
  return min === undefined && max === undefined
}

function asksChampion({ change, relative }: Pick<MetricCheck, 'change' | 'relative'>): boolean {
  return change !== undefined || relative !== undefined
}

function measured(
  check: Pick<MetricCheck, 'metric' | 'min' | 'max' | 'change' | 'relative'>,
  { candidate, champion }: Pair,
  weights: Float64Array,
): { readonly value: number; readonly baseline: number | undefined; readonly missed: string[]; readonly numbers: Record<string, number> } {
  const value = candidate(weights)
  const baseline = champion?.(weights)
  const defined = baseline !== undefined && Number.isNaN(baseline) ? undefined : baseline
  return {
    value,
    baseline: defined,
    missed: Number.isNaN(value) ? [] : missedThresholds(check.metric, value, check, defined),
    numbers: numbersOf({ value, champion: defined }),
  }
}

/** Rows that a classifier has wrong, or a regressor is furthest off for: the worst first. */
export function wrongRows(
  { classes, truth, candidate: { predicted }, names }: Sample,
  among: readonly number[] = [...truth.keys()],
): string[] {
  const off = (row: number): number =>
    classes === undefined ? Math.abs(predicted[row]! - truth[row]!) : Number(predicted[row] !== truth[row])
  const told = (row: number): string =>
    classes === undefined
      ? `${names[row]}: ${shortly(predicted[row]!)} instead of ${shortly(truth[row]!)}`
      : `${names[row]}: ${classes[predicted[row]!] ?? 'an unknown class'} instead of ${classes[truth[row]!]}`
  return among
    .filter((row) => off(row) > 0)
    .toSorted((a, b) => off(b) - off(a))
    .map(told)
}

export function judgeSlices(check: SlicesCheck, sample: Sample): GateResult {
  const columns = check.by.map(({ column }) => column).join(', ')
  return resultOf(
    'slices',
    check,
    `${metricText(check.metric, check.class)} by ${columns} on ${sample.dataset}`,
    judgedSlices(check, sample),
  )
}

function judgedSlices(check: SlicesCheck, sample: Sample): Found {
  const pair = pairOf(check.metric, sample, check.class)
  if ('verdict' in pair) return pair
  const slices = everySlice(check.by, sample)
  if ('verdict' in slices) return slices
  const whole = pair.candidate(sample.weights)
  const parts = slices.map((slice) => slicePart(check, sample, { pair, slice, whole }))
  const bad = parts.map(({ verdict }, index) => ({ verdict, slice: slices[index]! })).filter(({ verdict }) => verdict === 'fail')
  return {
    verdict: worst(parts.map(({ verdict }) => verdict)),
    sentence: slicesSentence(parts),
    numbers: numbersOf({ rows: sample.rows.length, value: whole, slices: parts.length, failed: bad.length }),
    parts,
    failing: bad.flatMap(({ slice }) => wrongRows(sample, slice.rows)),
    dataset: sample.dataset,
  }
}

/** @returns the slices, or what is wrong with a column */
export function everySlice(by: SlicesCheck['by'], { rows, dataset }: Sample): SliceRows[] | Found {
  const all: SliceRows[] = []
  for (const slice of by) {
    const found = slicesOf(rows, slice)
    if (found === undefined)
      return {
        verdict: 'error',
        sentence: `slices by "${slice.column}": no row of ${dataset} has such a column, or it has more than 200 values; cut numbers with bins`,
        dataset,
      }
    all.push(...found)
  }
  return all
}

function slicePart(
  check: SlicesCheck,
  sample: Sample,
  { pair, slice: { name, rows }, whole }: { pair: Pair; slice: SliceRows; whole: number },
): GatePart {
  const { minimumSample = MINIMUM_SAMPLE, drop, metric } = check
  if (rows.length < minimumSample)
    return {
      name,
      verdict: 'insufficient',
      numbers: { rows: rows.length },
      sentence: `${rowsText(rows.length)}, and ${minimumSample} are needed`,
    }
  const { value, missed, numbers, baseline } = measured(check, pair, weightsOf(sample, rows))
  const part = { name, numbers: { rows: rows.length, ...numbers } }
  if (Number.isNaN(value)) return { ...part, verdict: 'insufficient', sentence: 'it is not defined: the rows are all of one kind' }
  const behind = -advantage(metric, value, whole)
  if (drop !== undefined && !(behind <= drop * Math.abs(whole)))
    missed.push(`is ${percent(behind / Math.abs(whole))} worse than the ${shortly(whole)} of all rows, ${percent(drop)} at most`)
  const text = `it is ${shortly(value)}`
  if (missed.length > 0) return { ...part, verdict: 'fail', sentence: `${text}: ${missed.join('; ')}` }
  if (baseline === undefined && asksChampion(check) && boundsOnly(check) && drop === undefined)
    return { ...part, verdict: 'insufficient', sentence: `${text}, and there is no champion to compare it with` }
  return { ...part, verdict: 'pass', sentence: text }
}

/** The slices that do not pass, by name, or how many do. */
export function slicesSentence(parts: readonly GatePart[]): string {
  const lines = (['fail', 'insufficient'] as const).flatMap((verdict) => {
    const some = parts.filter((part) => part.verdict === verdict)
    if (some.length === 0) return []
    const told = some.slice(0, 3).map(({ name, sentence = '' }) => `${name} (${sentence})`)
    const more = some.length > 3 ? `, and ${some.length - 3} more` : ''
    return [`${verdict === 'fail' ? 'fails in' : 'not enough data in'} ${told.join(', ')}${more}`]
  })
  return lines.length === 0 ? `holds in each of ${parts.length} slices` : lines.join('; ')
}
