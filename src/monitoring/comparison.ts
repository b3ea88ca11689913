import { judge } from '../judge/judge.ts'
import { logWorseInPairs } from '../judge/pairs.ts'
import { resolveJudge } from '../judge/spec.ts'
import { ERRORS, evidenceOf, isOfBoth, labelEvidence, WRONG_LABELS } from './evidence.ts'
import { SPANS } from './windows.ts'
import type { ComparisonAnswer } from '../contract/comparison.ts'
import type { MetricOptions } from '../judge/spec.ts'
import type { MetricJudgement } from '../judge/judgement.ts'
import type { Compared, SegmentShares } from './evidence.ts'
import type { Feedback } from './feedback.ts'
import type { Rollup, Windows } from './windows.ts'

/** How long a unit is watched before it counts as one that went well: ten minutes. */
const HORIZON_MS = 600_000
/** Span of time of labels that are counted together. */
const LABEL_SPAN_MS = 600_000

export interface ComparisonQuery {
  readonly environment: string
  readonly endpoint: string
  readonly base: Compared
  readonly candidate: Compared
  readonly segments: readonly (SegmentShares & { readonly beganAt: number })[]
  /** UTC epoch milliseconds. Default: since the segments began that both have a share of, without a break. */
  readonly from: number | undefined
  /** Default: 0.05. */
  readonly falseAlarm: number | undefined
  readonly nowMs: number
}

type Comparison = Pick<ComparisonAnswer, 'from' | 'until' | 'verdict' | 'metrics' | 'shadow'>

/** Compares two versions of an endpoint by windows and labels, with the judge's own defaults. */
export async function compareVersions(
  { windows, feedback }: { readonly windows: Windows; readonly feedback: Feedback },
  { environment, endpoint, base, candidate, segments, from, falseAlarm, nowMs }: ComparisonQuery,
): Promise<Comparison> {
  const fromMs = from ?? sinceBoth(segments, [base, candidate]) ?? nowMs
  const span = nowMs - fromMs < SPANS['10s'].lifeMs ? '10s' : nowMs - fromMs < SPANS['1m'].lifeMs ? '1m' : '1h'
  const query = { base, candidate, segments, horizonMs: HORIZON_MS, nowMs }
  const ofLabels = { environment, endpoint, fromMs, untilMs: nowMs + 1 }
  const [rollups, counts, units] = await Promise.all([
    windows.list(environment, { span, fromMs, untilMs: nowMs + 1, endpoint }),
    feedback.counts(ofLabels, LABEL_SPAN_MS),
    feedback.ofUnits(ofLabels),
  ])
  const evidence = [...evidenceOf(query, rollups), ...labelEvidence(query, counts, units)]
  const names = new Set([ERRORS, ...evidence.map(({ metric }) => metric)])
  // Labels come for the predictions that were acted on in some way: what they show is told, and holds nothing up.
  const metrics: Record<string, MetricOptions> = Object.fromEntries(
    [...names].map((metric) => [metric, metric === WRONG_LABELS ? { role: 'warn', cap: false } : {}]),
  )
  const judgement = judge(resolveJudge({ metrics, ...(falseAlarm !== undefined && { falseAlarm }) }), evidence)
  const shadow = shadowOf(rollups, candidate)
  return {
    from: fromMs,
    until: nowMs,
    verdict: judgement.verdict,
    metrics: judgement.metrics.map(metricAnswer),
    ...(shadow !== undefined && { shadow }),
  }
}

/** When the segments began, back from the latest, under which all of these variants have had requests; undefined where the latest is none. */
function sinceBoth(segments: ComparisonQuery['segments'], compared: readonly Compared[]): number | undefined {
  let since: number | undefined
  for (const one of segments.toSorted((a, b) => b.segment - a.segment)) {
    if (!isOfBoth(one, compared)) break
    since = one.beganAt
  }
  return since
}

type Ratio = ComparisonAnswer['metrics'][number]['ratio']

function metricAnswer(judgement: MetricJudgement): ComparisonAnswer['metrics'][number] {
  const { rule, verdict, base, candidate, p } = judgement
  const { low, likeliest, high } = judgement.ratio()
  const remaining = judgement.remaining()
  const countsOf = ({ k, exposures }: typeof base): { events: number; exposures: number } => ({ events: k, exposures })
  return {
    metric: rule.metric,
    role: rule.role,
    verdict,
    base: countsOf(base),
    candidate: countsOf(candidate),
    p,
    ratio: { low, ...(Number.isFinite(likeliest) && { likeliest }), ...(Number.isFinite(high) && { high }) } as Ratio,
    ...(remaining !== undefined && { remaining: Math.ceil(remaining) }),
    sentence: judgement.sentence(),
  }
}

const RESULTS = {
  same: 'same',
  different: 'different',
  worse: 'worse',
  better: 'better',
  'both failed': 'bothFailed',
  dropped: 'dropped',
} as const

function shadowOf(rollups: readonly Rollup[], { variant, model, version }: Compared): ComparisonAnswer['shadow'] {
  const counts = { same: 0, different: 0, worse: 0, better: 0, bothFailed: 0, dropped: 0 }
  let any = false
  for (const rollup of rollups) {
    if (rollup.variant !== variant || rollup.model !== model || rollup.version !== version) continue
    for (const { name, labels, statistic } of rollup.series) {
      if (name !== 'shadow' || statistic.kind !== 'count') continue
      const result = RESULTS[labels['result'] as keyof typeof RESULTS] as keyof typeof counts | undefined
      if (result === undefined) continue
      counts[result] += statistic.value
      any = true
    }
  }
  if (!any) return undefined
  const evidence = logWorseInPairs({ candidate: counts.worse, base: counts.better }, 1)
  return { ...counts, p: Math.min(1, Math.exp(-evidence)) }
}
