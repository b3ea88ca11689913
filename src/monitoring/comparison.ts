import { judge } from '../judge/judge.ts'
import { logWorseInPairs } from '../judge/pairs.ts'
import { resolveJudge } from '../judge/spec.ts'
import { ERRORS, evidenceOf, isOf, isOfBoth, labelEvidence, WRONG_LABELS } from './evidence.ts'
import { SPANS } from './windows.ts'
import type { ComparisonAnswer } from '../contract/comparison.ts'
import type { MetricOptions } from '../contract/judge-options.ts'
import type { Evidence } from '../judge/evidence.ts'
import type { MetricJudgement } from '../judge/judgement.ts'
import type { Compared, SegmentShares } from './evidence.ts'
import type { Feedback } from './feedback.ts'
import type { Rollup, Span, Windows } from './windows.ts'

/** How long a unit is watched before it counts as one that went well: ten minutes. */
const HORIZON_MS = 600_000

export interface GatherQuery {
  readonly environment: string
  readonly endpoint: string
  readonly base: Compared
  readonly candidate: Compared
  readonly segments: readonly (SegmentShares & { readonly beganAt: number })[]
  /** UTC epoch milliseconds. */
  readonly fromMs: number
  readonly nowMs: number
  /** Latency edges that are judged even where no request was slower, milliseconds. */
  readonly edges?: readonly number[] | undefined
  /** Whether a window counts. Default: all do. */
  readonly counts?: (rollup: Rollup) => boolean
}

export interface Gathered {
  readonly rollups: readonly Rollup[]
  readonly evidence: readonly Evidence[]
}

interface Observed {
  readonly windows: Windows
  readonly feedback: Feedback
}

/** Series that are evidence: histograms are many, and are none. */
const EVIDENCE_SERIES: ReadonlySet<string> = new Set(['assignments', 'exposures', 'outcomes', 'exceeded', 'units', 'predicted', 'shadow'])

/** What windows and labels say of two versions since a moment. */
export async function gather({ windows, feedback }: Observed, asked: GatherQuery): Promise<Gathered> {
  const { environment, endpoint, base, candidate, segments, edges, fromMs, nowMs, counts = () => true } = asked
  const query = { base, candidate, segments, edges, horizonMs: HORIZON_MS, nowMs }
  const ofLabels = { environment, endpoint, fromMs, untilMs: nowMs + 1 }
  const pieces = piecesOf(fromMs, nowMs)
  const [all, labels, units] = await Promise.all([
    Promise.all(pieces.map((piece) => windows.list(environment, { ...piece, endpoint, names: EVIDENCE_SERIES }))),
    Promise.all(pieces.map(({ span, ...times }) => feedback.counts({ ...ofLabels, ...times }, SPANS[span].spanMs))),
    feedback.ofUnits(ofLabels),
  ])
  const rollups = all.flat().filter(counts)
  return { rollups, evidence: [...evidenceOf(query, rollups), ...labelEvidence(query, labels.flat(), units)] }
}

const HOUR_MS = SPANS['1h'].spanMs

/** A time in pieces, each by the finest spans that are kept of it: what goes wrong now is not hidden among hours. */
function piecesOf(fromMs: number, nowMs: number): { readonly span: Span; readonly fromMs: number; readonly untilMs: number }[] {
  // An hour before they are swept, at the begin of one: no window is in two pieces.
  const since = (span: Span): number => Math.ceil((nowMs - SPANS[span].lifeMs) / HOUR_MS + 1) * HOUR_MS
  const [fine, finest] = [Math.max(fromMs, since('1m')), Math.max(fromMs, since('10s'))]
  const pieces: [Span, number, number][] = [
    ['1h', fromMs, fine],
    ['1m', fine, finest],
    ['10s', finest, nowMs + 1],
  ]
  return pieces.filter(([, from, until]) => from < until).map(([span, from, untilMs]) => ({ span, fromMs: from, untilMs }))
}

export interface ComparisonQuery extends Omit<GatherQuery, 'fromMs' | 'counts'> {
  /** UTC epoch milliseconds. Default: since the segments began that both have a share of, without a break. */
  readonly from: number | undefined
  /** Default: 0.05. */
  readonly falseAlarm: number | undefined
}

type Comparison = Pick<ComparisonAnswer, 'from' | 'until' | 'verdict' | 'metrics' | 'shadow'>

/** Compares two versions of an endpoint by windows and labels, with the judge's own defaults. */
export async function compareVersions(observed: Observed, { from, falseAlarm, ...asked }: ComparisonQuery): Promise<Comparison> {
  const { segments, base, candidate, nowMs } = asked
  const fromMs = from ?? sinceBoth(segments, [base, candidate]) ?? nowMs
  const { rollups, evidence } = await gather(observed, { ...asked, fromMs })
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
function sinceBoth(segments: GatherQuery['segments'], compared: readonly Compared[]): number | undefined {
  let since: number | undefined
  for (const one of segments.toSorted((a, b) => b.segment - a.segment)) {
    if (!isOfBoth(one, compared)) break
    since = one.beganAt
  }
  return since
}

type Ratio = ComparisonAnswer['metrics'][number]['ratio']

/** What is shown of one metric, for people and programs. */
export function metricAnswer(judgement: MetricJudgement): ComparisonAnswer['metrics'][number] {
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

/** What copies of requests showed of a version. */
export function shadowOf(rollups: readonly Rollup[], candidate: Compared): ComparisonAnswer['shadow'] {
  const counts = { same: 0, different: 0, worse: 0, better: 0, bothFailed: 0, dropped: 0 }
  let any = false
  for (const rollup of rollups) {
    if (!isOf(candidate, rollup)) continue
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
