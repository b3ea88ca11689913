import { logOver, logUnder } from './absolute-cap.ts'
import { blocksOf, isRestless, largestBurst, sideOf, spreadOf } from './blocks.ts'
import { pairUp } from './evidence.ts'
import { eventsOf, growthPerEvent, likeliestRatio, logBetter, logWorse, ratioInterval } from './event-share.ts'
import { logMean } from './log-sums.ts'
import { sentence } from './sentence.ts'
import type { Block } from './blocks.ts'
import type { Counts, Evidence, Pair } from './evidence.ts'
import type { Events } from './event-share.ts'
import type { Judgement, MetricJudgement, Peaks, Verdict } from './judgement.ts'
import type { JudgeRules, MetricRule } from './spec.ts'

const NO_PEAKS: Peaks = { fail: 0, pass: 0 }

/**
 * Judges a candidate by all that was counted since the rollout began, as often as one looks: the promises hold for all looks together.
 * @param before the peaks of the look before: what was shown once stays shown
 * @throws SLW_INPUT_INVALID for rows that are no evidence
 */
export function judge(rules: JudgeRules, evidence: readonly Evidence[], before: ReadonlyMap<string, Peaks> = new Map()): Judgement {
  const rows = Map.groupBy(evidence, ({ metric }) => metric)
  const metrics = rules.metrics.map((rule) =>
    judgeMetric(rule, pairUp(rows.get(rule.metric) ?? []), rules.minimumSample, before.get(rule.metric) ?? NO_PEAKS),
  )
  const guardrails = metrics.filter(({ rule }) => rule.role === 'guardrail')
  const has = (verdict: Verdict): boolean => guardrails.some((metric) => metric.verdict === verdict)
  return {
    verdict: has('fail') ? 'fail' : has('no data') ? 'no data' : has('inconclusive') || guardrails.length === 0 ? 'inconclusive' : 'pass',
    warnings: metrics.filter(({ rule, verdict }) => rule.role === 'warn' && verdict === 'fail'),
    metrics,
    peaks: new Map(metrics.map(({ rule, peaks }) => [rule.metric, peaks])),
  }
}

function judgeMetric(rule: MetricRule, pairs: readonly Pair[], minimumSample: number, before: Peaks): MetricJudgement {
  const { tolerate, ruleOut, cap, alphaFail, alphaPass } = rule
  const [base, candidate] = [total(pairs, 'base'), total(pairs, 'candidate')]
  const events = eventsOf(pairs)
  const inHorizon = eventsOf(pairs, 'kInHorizon')
  const likeliest = likeliestRatio(events)
  const blocks = blocksOf(pairs)
  const spread = likeliest === undefined ? undefined : spreadOf(blocks, likeliest)
  const clustered = spread !== undefined && (rule.clusters === 'always' || (rule.clusters === 'auto' && spread.isClustered))
  const burst = rule.clusters === 'never' || spread !== undefined ? 1 : largestBurst(blocks)
  const byEvents = ofEvents(rule, { events, inHorizon, candidate, burst })
  // Bursts of the base alone do not show in the candidate's part, and let it pass.
  const passByBlocks = clustered || (rule.clusters === 'auto' && spread !== undefined && isRestless(blocks))
  const byBlocks = passByBlocks ? ofBlocks(rule, blocks, candidate) : byEvents
  const now = { fail: clustered ? byBlocks.fail : byEvents.fail, pass: byBlocks.pass }
  const peaks = { fail: Math.max(before.fail, now.fail), pass: Math.max(before.pass, now.pass) }
  const enough = { fail: Math.log(1 / alphaFail), pass: Math.log(1 / alphaPass) }
  const verdict: Verdict =
    base.exposures === 0 || candidate.exposures === 0
      ? 'no data'
      : peaks.fail >= enough.fail
        ? 'fail'
        : peaks.pass >= enough.pass && candidate.exposures >= minimumSample
          ? 'pass'
          : 'inconclusive'
  const judgement: MetricJudgement = {
    rule,
    verdict,
    base,
    candidate,
    now,
    peaks,
    p: Math.min(1, Math.exp(-peaks.fail)),
    method: clustered ? 'blocks' : 'events',
    dispersion: spread?.dispersion,
    ratio: () => ({ ...(clustered ? { low: 0, high: Number.POSITIVE_INFINITY } : ratioInterval(events, alphaFail, burst)), likeliest }),
    remaining: () =>
      verdict === 'pass' || verdict === 'fail' || clustered
        ? undefined
        : remaining({ events, share: pairs.at(-1)?.share ?? 0, exposures: base.exposures + candidate.exposures, likeliest, burst }, [
            { bound: tolerate, direction: 1, missing: enough.fail - now.fail },
            { bound: ruleOut, direction: -1, missing: enough.pass - now.pass + (cap === undefined ? 0 : Math.LN2) },
          ]),
    sentence: () => sentence(judgement),
  }
  return judgement
}

function ofEvents({ tolerate, ruleOut, cap, limit }: MetricRule, { events, inHorizon, candidate, burst }: Seen): Peaks {
  const worse = logWorse(events, tolerate, burst)
  const better = logBetter(inHorizon, ruleOut, burst)
  // Either is a reason: the mean of two e-values is one.
  return {
    fail: limit === undefined ? worse : logMean(worse, logOver(candidate, limit) / burst),
    pass: cap === undefined ? better : logMean(better, logUnder({ k: candidate.kInHorizon, exposures: candidate.exposures }, cap) / burst),
  }
}

interface Seen {
  readonly events: readonly Events[]
  readonly inHorizon: readonly Events[]
  readonly candidate: Counts
  readonly burst: number
}

/**
 * Blocks have no e-values of their own: as much evidence as is asked for, or none. Limit and cap go by single events all the same, with bursts
 * allowed for; where they are a second reason, each has half of the probability.
 */
function ofBlocks({ tolerate, ruleOut, cap, limit, alphaFail, alphaPass }: MetricRule, blocks: readonly Block[], candidate: Counts): Peaks {
  const burst = largestBurst(blocks)
  const above = limit === undefined ? undefined : logOver(candidate, limit) / burst
  const under = cap === undefined ? undefined : logUnder({ k: candidate.kInHorizon, exposures: candidate.exposures }, cap) / burst
  const [forFail, forPass] = [alphaFail / (above === undefined ? 1 : 2), alphaPass / (under === undefined ? 1 : 2)]
  const isWorse = sideOf(blocks, { ratio: tolerate, alpha: forFail }) === 'worse' || (above ?? 0) >= Math.log(1 / forFail)
  const isBetter =
    sideOf(blocks, { ratio: ruleOut, alpha: forPass, counted: 'kInHorizon' }) === 'better' || (under ?? 0) >= Math.log(1 / forPass)
  return { fail: isWorse ? Math.log(1 / alphaFail) : 0, pass: isBetter ? Math.log(1 / alphaPass) : 0 }
}

function total(pairs: readonly Pair[], arm: 'base' | 'candidate'): Counts {
  let sum: Counts = { k: 0, exposures: 0, kInHorizon: 0 }
  for (const { [arm]: counts } of pairs)
    sum = { k: sum.k + counts.k, exposures: sum.exposures + counts.exposures, kInHorizon: sum.kInHorizon + counts.kInHorizon }
  return sum
}

interface Way {
  readonly bound: number
  readonly direction: 1 | -1
  /** Evidence that is missing, ln. */
  readonly missing: number
}

function remaining(
  {
    events,
    share,
    exposures,
    likeliest,
    burst,
  }: {
    readonly events: readonly Events[]
    /** That of the latest rows. */
    readonly share: number
    readonly exposures: number
    readonly likeliest: number | undefined
    readonly burst: number
  },
  ways: readonly Way[],
): number | undefined {
  const n = events.reduce((sum, part) => sum + part.n, 0)
  if (likeliest === undefined || n === 0 || share <= 0 || share >= 1) return undefined
  // A ratio of nothing, or without bound, is one of few events.
  const ratio = Math.min(20, Math.max(0.05, likeliest))
  const counts = ways.flatMap(({ bound, direction, missing }) => {
    const growth = growthPerEvent(share, ratio, bound, direction) / burst
    return growth > 0 ? [Math.max(0, missing) / growth] : []
  })
  return counts.length === 0 ? undefined : Math.ceil((Math.min(...counts) * exposures) / n)
}
