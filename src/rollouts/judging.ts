/** What was seen of the two versions of a rollout, judged by its strategy. */
import { judge } from '../judge/judge.ts'
import { resolveJudge } from '../judge/spec.ts'
import { gather, metricAnswer, shadowOf } from '../monitoring/comparison.ts'
import { ERRORS, isOf, isOfBoth, sharesOf, slowerThan, WRONG_LABELS } from '../monitoring/evidence.ts'
import { judgeOutputs } from '../monitoring/outputs.ts'
import { judgeAll } from './all-requests.ts'
import { armsOf } from './arms.ts'
import type { MetricOptions } from '../contract/judge-options.ts'
import type { RolloutEvidence } from '../contract/rollout-api.ts'
import type { Evidence } from '../judge/evidence.ts'
import type { Judgement, Peaks, Verdict } from '../judge/judgement.ts'
import type { Feedback } from '../monitoring/feedback.ts'
import type { OutputsJudgement } from '../monitoring/outputs.ts'
import type { Rollup, Windows } from '../monitoring/windows.ts'
import type { Arms, JudgingQuery } from './arms.ts'
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

/** Judges all that was counted of both versions, under every segment in which they shared the requests. */
export async function judgeRollout(observed: Observed, query: JudgingQuery): Promise<Judged> {
  const { environment, endpoint, rollout, segments, variant, nowMs } = query
  const arms = armsOf(rollout, variant)
  const shared = segments.filter((segment) => segment.beganAt >= rollout.evidenceFrom && isOfBoth(segment, [arms.base, arms.candidate]))
  const fromMs = Math.min(rollout.createdAt, ...shared.map(({ beganAt }) => beganAt))
  const { rollups, evidence } = await gather(observed, {
    environment,
    endpoint,
    ...arms,
    segments: shared,
    edges: rollout.edgeMs === undefined ? [] : [rollout.edgeMs],
    fromMs,
    nowMs,
    counts: (rollup) => !isBurnIn(query, rollup),
  })
  const shadow = shadowOf(
    rollups.filter(({ startMs }) => startMs >= rollout.createdAt),
    arms.candidate,
  )
  const rules = rulesOf(rollout)
  const judgement = judge(resolveJudge(rules.options), evidence, rollout.peaks)
  const outputs =
    rules.outputs === undefined ? undefined : judgeOutputs({ ...arms, segments: shared }, rollups, { ...rules.outputs, alpha: rules.alpha })
  const all = await judgeAll(observed, query, { arms, alpha: rules.alpha })
  const failures = [...failuresOf(judgement, { outputs, shadow, alpha: rules.alpha }), ...all.failures]
  const newestMs = newestOf(query, rollups, shared)
  const sample = sampleOf(query, rollups, arms)
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
      failures,
      sample,
      ...(all.traffic.length > 0 && { traffic: [...all.traffic] }),
      ...(newestMs !== undefined && { newest: newestMs }),
      metrics: judgement.metrics.map(metricAnswer),
      ...(outputs !== undefined && { outputs }),
      ...(shadow !== undefined && { shadow }),
      segments: countsBySegment(evidence, sharesOf({ ...arms, segments: shared })),
    },
  }
}

/** Requests of the first seconds of a walk meet cold caches. Both arms lose them; a retry does not get those of the walk before it. */
function isBurnIn({ firsts, rollout: { strategy } }: JudgingQuery, { segment, startMs, endMs }: Rollup): boolean {
  const first = firsts.find((one) => one.segment === segment)
  return strategy.burnInMs > 0 && first !== undefined && endMs - startMs <= BURN_IN_SPAN_MS && startMs < first.at + strategy.burnInMs
}

/** Longer windows are not left out for the seconds at their begin. */
const BURN_IN_SPAN_MS = 60_000

interface Rules {
  readonly options: Parameters<typeof resolveJudge>[0]
  readonly outputs: { readonly change: number } | undefined
  /** The part of the false alarms that each guardrail has. */
  readonly alpha: number
}

/** The metrics of a strategy. What is judged outside of the judge has its part of the false alarms, too, whether it is seen or not. */
export function rulesOf({ strategy, edgeMs }: Pick<RolloutState, 'strategy' | 'edgeMs'>): Rules {
  const { errors, latency, labels, falseAlarm, falsePass, minimumSample } = strategy
  const { independentOfPrediction: _independent, ...ofLabels } = labels
  const { edgeMs: _edge, ...ofLatency } = latency ?? {}
  const metrics: Record<string, MetricOptions> = {
    [ERRORS]: errors,
    ...(latency !== undefined && edgeMs !== undefined && { [slowerThan(edgeMs)]: ofLatency }),
    [WRONG_LABELS]: { cap: false, ...ofLabels },
  }
  const { outputs } = strategy
  const hasShadow = strategy.stages.some(({ shadow }) => shadow > 0)
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

/** End of the newest window in which chance assigned requests between both, or copies were answered. */
function newestOf({ nowMs }: JudgingQuery, rollups: readonly Rollup[], segments: JudgingQuery['segments']): number | undefined {
  const shared = new Set(segments.map(({ segment }) => segment))
  const isSeen = ({ segment, series }: Rollup): boolean =>
    series.some(
      ({ name, labels }) => name === 'shadow' || (name === 'assignments' && labels['assignment'] === 'randomised' && shared.has(segment)),
    )
  const ends = rollups.filter(isSeen).map(({ endMs }) => endMs)
  return ends.length === 0 ? undefined : Math.min(nowMs, Math.max(...ends))
}

/** Requests that chance gave the new version in the present step; of a step with copies alone, those. */
function sampleOf({ rollout }: JudgingQuery, rollups: readonly Rollup[], { candidate }: Arms): number {
  const { stepSegment = Infinity, strategy, step } = rollout
  const ofCopies = (strategy.stages[step]?.shadow ?? 0) > 0
  let sum = 0
  for (const rollup of rollups) {
    if (rollup.segment < stepSegment || !isOf(candidate, rollup)) continue
    for (const { name, labels, statistic } of rollup.series) {
      if (statistic.kind !== 'count') continue
      const counts = ofCopies
        ? name === 'shadow' && labels['result'] !== 'dropped'
        : name === 'assignments' && labels['assignment'] === 'randomised'
      if (counts) sum += statistic.value
    }
  }
  return sum
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
