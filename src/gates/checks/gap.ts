import { advantage } from '../metrics.ts'
import { MINIMUM_SAMPLE, resultOf, tooFew } from '../result.ts'
import { numbersOf, percent, shortly } from '../words.ts'
import { metricText, pairOf } from './metrics.ts'
import type { GateChecks } from '../../contract/gates.ts'
import type { GateResult } from '../../contract/gate-report.ts'
import type { Found } from '../result.ts'
import type { Sample } from '../sample.ts'

type GapCheck = NonNullable<GateChecks['gaps']>[number]

const GAP_MAX = 0.1

/** Whether a model is much worse on rows that it has not seen: (train - test) / |train|; where train is 0: 0 if test is 0 too, else 1. */
export function judgeGap(check: GapCheck, { train, test }: { readonly train: Sample; readonly test: Sample }): GateResult {
  return resultOf('gaps', check, `${metricText(check.metric)} of ${train.dataset} and ${test.dataset}`, judged(check, { train, test }))
}

function judged(
  { metric, max = GAP_MAX, minimumSample = MINIMUM_SAMPLE }: GapCheck,
  { train, test }: { train: Sample; test: Sample },
): Found {
  const [seen, unseen] = [pairOf(metric, train), pairOf(metric, test)]
  if ('verdict' in seen) return seen
  if ('verdict' in unseen) return unseen
  for (const sample of [train, test]) if (sample.rows.length < minimumSample) return tooFew(sample.rows.length, minimumSample, sample)
  const [before, after] = [seen.candidate(train.weights), unseen.candidate(test.weights)]
  const gap = before === 0 ? (after === 0 ? 0 : 1) : -advantage(metric, after, before) / Math.abs(before)
  const found = { numbers: numbersOf({ rows: test.rows.length, train: before, test: after, gap }), dataset: test.dataset }
  if (Number.isNaN(gap))
    return { ...found, verdict: 'insufficient', sentence: `${metricText(metric)} is not defined on one of the two datasets` }
  const text = `${metricText(metric)} is ${shortly(before)} on ${train.dataset} and ${shortly(after)} on ${test.dataset}: ${gap > 0 ? `${percent(gap)} worse` : 'no worse'}`
  return gap <= max
    ? { ...found, verdict: 'pass', sentence: text }
    : { ...found, verdict: 'fail', sentence: `${text}, and ${percent(max)} is accepted: it knows its training data by heart` }
}
