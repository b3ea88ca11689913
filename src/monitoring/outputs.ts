/** Whether two versions answer alike: the classes that they predicted, beside each other. */
import { collapse, totalVariation } from '../judge/distribution.ts'
import { armOf, sharesOf } from './evidence.ts'
import type { Binned } from '../judge/distribution.ts'
import type { Verdict } from '../judge/judgement.ts'
import type { Compared, SegmentShares } from './evidence.ts'
import type { Rollup } from './windows.ts'

/** Classes that servers count apart, and the rest: bins that there may be, which is frozen by what servers do. */
const BINS = 51

export interface OutputsJudgement {
  /** Fails alone: two versions are never shown to be alike. */
  readonly verdict: Exclude<Verdict, 'pass'>
  /** Answers that were counted. */
  readonly base: number
  readonly candidate: number
  /** Total variation distance of the classes, 0 (alike) to 1, and what it is at least and at most. */
  readonly low: number
  readonly observed: number
  readonly high: number
  /** More than this fails. */
  readonly change: number
  readonly sentence: string
}

/** @param alpha probability of a false alarm, over all looks */
export function judgeOutputs(
  query: { readonly base: Compared; readonly candidate: Compared; readonly segments: readonly SegmentShares[] },
  rollups: readonly Rollup[],
  { change, alpha }: { readonly change: number; readonly alpha: number },
): OutputsJudgement | undefined {
  const rows = binsOf(query, rollups)
  if (rows.length === 0) return undefined
  const sum = (arm: 'base' | 'candidate'): number => rows.reduce((total, row) => total + row[arm], 0)
  const [base, candidate] = [sum('base'), sum('candidate')]
  const { low, observed, high } = totalVariation(rows, alpha, BINS)
  const verdict = base === 0 || candidate === 0 ? 'no data' : low > change ? 'fail' : 'inconclusive'
  return { verdict, base, candidate, low, observed, high, change, sentence: sentenceOf({ verdict, rows, low, observed, change }) }
}

function sentenceOf({
  verdict,
  rows,
  low,
  observed,
  change,
}: Pick<OutputsJudgement, 'verdict' | 'low' | 'observed' | 'change'> & { readonly rows: readonly Binned[] }): string {
  if (verdict === 'no data') return 'one of the versions has not answered yet'
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
  const most = collapse(rows)
  const classes =
    most === undefined ? '' : `; class ${most.bin} is ${percent(most.candidate)} of its answers, and ${percent(most.base)} of those before`
  return verdict === 'fail'
    ? `the new version answers otherwise: at least ${percent(low)} of the answers moved to other classes, and ${percent(change)} may${classes}`
    : `${percent(observed)} of the answers moved to other classes, of which ${percent(low)} is shown${classes}`
}

function binsOf(
  query: { readonly base: Compared; readonly candidate: Compared; readonly segments: readonly SegmentShares[] },
  rollups: readonly Rollup[],
): Binned[] {
  const shares = sharesOf(query)
  const bins = new Map<string, { bin: string; share: number; base: number; candidate: number }>()
  for (const { variant, model, version, segment, source, series } of rollups) {
    const arm = armOf(query, { variant, model, version })
    const share = shares.get(segment)
    if (arm === undefined || source !== 'online' || share === undefined) continue
    for (const { name, labels, statistic } of series) {
      if (name !== 'predicted' || statistic.kind !== 'count') continue
      const bin = String(labels['class'])
      const key = JSON.stringify([share, bin])
      let found = bins.get(key)
      if (found === undefined) bins.set(key, (found = { bin, share, base: 0, candidate: 0 }))
      found[arm] += statistic.value
    }
  }
  return [...bins.values()]
}
