/** What was seen of the two versions of a rollout, judged by its strategy. */
import { judge } from '../judge/judge.ts'
import { resolveJudge } from '../judge/spec.ts'
import { gather, metricAnswer, shadowOf } from '../monitoring/comparison.ts'
import { ERRORS, isOfBoth, sharesOf, slowerThan, WRONG_LABELS } from '../monitoring/evidence.ts'
import { judgeOutputs } from '../monitoring/outputs.ts'
import { nameBeside, nameOfCopy } from '../delivery/routing-document.ts'
import type { MetricOptions } from '../contract/judge-options.ts'
import type { RolloutEvidence } from '../contract/rollout-api.ts'
import type { RoutingSegment } from '../delivery/delivery.ts'
import type { Evidence } from '../judge/evidence.ts'
import type { Judgement, Peaks, Verdict } from '../judge/judgement.ts'
import type { Compared } from '../monitoring/evidence.ts'
import type { Feedback } from '../monitoring/feedback.ts'
import type { OutputsJudgement } from '../monitoring/outputs.ts'
import type { Rollup, Windows } from '../monitoring/windows.ts'
import type { RolloutState } from './rollout.ts'

export interface Observed {
  readonly windows: Windows
  readonly feedback: Feedback
}

export interface Judged {
  readonly verdict: Verdict
  readonly failures: readonly string[]
  readonly sample: number
  readonly newestMs: number | undefined
  readonly peaks: ReadonlyMap<string, Peaks>
  readonly answer: Omit<RolloutEvidence, 'checks' | 'servers'>
}

export interface JudgingQuery {
  readonly environment: string
  readonly endpoint: string
  readonly rollout: RolloutState
  readonly segments: readonly RoutingSegment[]
  /** Name of the variant of the version in force. */
  readonly variant: string
  readonly nowMs: number
}

/** Both versions of a rollout, wherever they are called what. */
export function armsOf({ from, to, strategy }: RolloutState, variant: string): { base: Compared; candidate: Compared } {
  const ofModel = ({ model, version }: Compared): Compared => ({ model, version })
  // One version with other settings is told apart by the variant alone.
  const isOne = from.model === to.model && from.version === to.version
  const besides = nameBeside(variant, to.revision)
  return {
    base: { ...ofModel(from), ...(strategy.baseline ? { variant: nameOfCopy(variant) } : isOne && { variant }) },
    candidate: { ...ofModel(to), ...(isOne && { variant: besides }) },
  }
}

/** Judges all that was counted of both versions, under every segment in which they shared the requests. */
export async function judgeRollout(observed: Observed, query: JudgingQuery): Promise<Judged> {
  const { environment, endpoint, rollout, segments, variant, nowMs } = query
  const { edgeMs, stepSegment = Infinity } = rollout
  const arms = armsOf(rollout, variant)
  const shared = segments.filter((segment) => segment.beganAt >= rollout.evidenceFrom && isOfBoth(segment, [arms.base, arms.candidate]))
  const fromMs = Math.min(rollout.createdAt, ...shared.map(({ beganAt }) => beganAt))
  const { rollups, evidence } = await gather(observed, {
    environment,
    endpoint,
    ...arms,
    segments: shared,
    edges: edgeMs === undefined ? [] : [edgeMs],
    fromMs,
    nowMs,
    counts: (rollup) => !isBurnIn(rollout, rollup),
  })
  const shadow = shadowOf(
    rollups.filter(({ startMs }) => startMs >= rollout.createdAt),
    arms.candidate,
  )
  const rules = rulesOf(
    rollout,
    rollups.some(({ series }) => series.some(({ name }) => name === 'predicted')),
    shadow !== undefined,
  )
  const judgement = judge(resolveJudge(rules.options), evidence, rollout.peaks)
  const outputs =
    rules.outputs === undefined ? undefined : judgeOutputs({ ...arms, segments: shared }, rollups, { ...rules.outputs, alpha: rules.alpha })
  const failures = failuresOf(judgement, { outputs, shadow, alpha: rules.alpha })
  const newestMs = newestOf(rollups, shared)
  const sample = sampleOf(evidence, stepSegment) + (shadow === undefined ? 0 : shadowed(shadow))
  const verdict = failures.length > 0 ? 'fail' : verdictOf(judgement, outputs)
  return {
    verdict,
    failures,
    sample,
    newestMs,
    peaks: judgement.peaks,
    answer: {
      at: nowMs,
      from: fromMs,
      verdict,
      sample,
      ...(newestMs !== undefined && { newest: newestMs }),
      metrics: judgement.metrics.map(metricAnswer),
      ...(outputs !== undefined && { outputs }),
      ...(shadow !== undefined && { shadow }),
      segments: countsBySegment(evidence, sharesOf({ ...arms, segments: shared })),
    },
  }
}

/** Requests of the first seconds meet cold caches. Both arms lose them, and what else is in a window that began before. */
function isBurnIn({ first, strategy: { burnInMs } }: RolloutState, { segment, startMs }: Rollup): boolean {
  return burnInMs > 0 && first !== undefined && segment === first.segment && startMs < first.at + burnInMs
}

interface Rules {
  readonly options: Parameters<typeof resolveJudge>[0]
  readonly outputs: { readonly change: number } | undefined
  /** The part of the false alarms that each guardrail has. */
  readonly alpha: number
}

/** The metrics of a strategy. What is judged outside of the judge has its part of the false alarms, too. */
function rulesOf({ strategy, edgeMs }: RolloutState, hasClasses: boolean, hasShadow: boolean): Rules {
  const { errors, latency, labels, falseAlarm, falsePass, minimumSample } = strategy
  const { independentOfPrediction: _independent, ...ofLabels } = labels
  const { edgeMs: _edge, ...ofLatency } = latency ?? {}
  const metrics: Record<string, MetricOptions> = {
    [ERRORS]: errors,
    ...(latency !== undefined && edgeMs !== undefined && { [slowerThan(edgeMs)]: ofLatency }),
    [WRONG_LABELS]: { cap: false, ...ofLabels },
  }
  const outputs = hasClasses ? strategy.outputs : undefined
  const inJudge = Object.values(metrics).filter(({ role = 'guardrail' }) => role === 'guardrail').length
  const guardrails = Math.max(1, inJudge + (outputs === undefined ? 0 : 1) + (hasShadow ? 1 : 0))
  const alpha = falseAlarm / guardrails
  return { options: { falseAlarm: alpha * Math.max(1, inJudge), falsePass, minimumSample, metrics }, outputs, alpha }
}

function failuresOf(
  { metrics }: Judgement,
  {
    outputs,
    shadow,
    alpha,
  }: { readonly outputs: OutputsJudgement | undefined; readonly shadow: ReturnType<typeof shadowOf>; readonly alpha: number },
): string[] {
  const failed = metrics.filter(({ rule, verdict }) => rule.role === 'guardrail' && verdict === 'fail').map((metric) => metric.sentence())
  if (outputs?.verdict === 'fail') failed.push(`outputs: ${outputs.sentence}`)
  if (shadow !== undefined && shadow.p < alpha)
    failed.push(`shadow: ${shadow.worse} copies failed alone, and ${shadow.better} did where only the version before failed`)
  return failed
}

/** Labels come when they come: what has to pass is what every request shows. Answers that look otherwise are not let through unshown. */
function verdictOf({ metrics }: Judgement, outputs: OutputsJudgement | undefined): Verdict {
  const waited = metrics.filter(({ rule }) => rule.role === 'guardrail' && rule.metric !== WRONG_LABELS)
  const has = (verdict: Verdict): boolean => waited.some((metric) => metric.verdict === verdict)
  return has('no data')
    ? 'no data'
    : has('inconclusive') || waited.length === 0 || (outputs !== undefined && outputs.observed > outputs.change)
      ? 'inconclusive'
      : 'pass'
}

function newestOf(rollups: readonly Rollup[], shared: readonly RoutingSegment[]): number | undefined {
  const segments = new Set(shared.map(({ segment }) => segment))
  const ends = rollups
    .filter(({ segment, series }) => segments.has(segment) || series.some(({ name }) => name === 'shadow'))
    .filter(({ series }) => series.some(({ name }) => name === 'assignments' || name === 'shadow'))
    .map(({ endMs }) => endMs)
  return ends.length === 0 ? undefined : Math.max(...ends)
}

/** Requests and units of the new version since a segment. */
function sampleOf(evidence: readonly Evidence[], since: number): number {
  return evidence
    .filter(({ metric, arm, segment }) => metric === ERRORS && arm === 'candidate' && Number.parseInt(segment, 10) >= since)
    .reduce((sum, { exposures }) => sum + exposures, 0)
}

function shadowed({ same, different, worse, better, bothFailed }: NonNullable<ReturnType<typeof shadowOf>>): number {
  return same + different + worse + better + bothFailed
}

/** All counts by metric, arm and segment: small enough to be kept, and enough to work the verdict out again. */
function countsBySegment(evidence: readonly Evidence[], shares: ReadonlyMap<number, number>): RolloutEvidence['segments'] {
  const groups = Map.groupBy(evidence, ({ metric, arm, segment }) => JSON.stringify([metric, arm, Number.parseInt(segment, 10)]))
  return [...groups.values()].map((rows) => {
    const [{ metric, arm, segment }] = rows as [Evidence]
    const number = Number.parseInt(segment, 10)
    const sum = (of: 'k' | 'exposures'): number => rows.reduce((total, row) => total + row[of], 0)
    return { segment: number, share: shares.get(number) ?? 0, metric, arm, events: sum('k'), exposures: sum('exposures') }
  })
}
