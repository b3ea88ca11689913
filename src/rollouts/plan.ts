/** What a rollout is to expect, before it begins: its steps, and how many requests and how long each bad outcome takes to be seen. */
import { resolveRollout } from '../contract/rollout.ts'
import { expectations } from '../judge/expected.ts'
import { resolveJudge } from '../judge/spec.ts'
import { ERRORS, WRONG_LABELS } from '../monitoring/evidence.ts'
import { ofModel, strategyFor } from './begin.ts'
import { frozenOf } from './edge.ts'
import { waitingFor } from './gates.ts'
import { rulesOf } from './judging.ts'
import type { RolloutPlan } from '../contract/rollout-api.ts'
import type { ResolvedRollout } from '../contract/rollout.ts'
import type { Scope } from '../ledger/scope.ts'
import type { RolloutGround, Rollouts, StartOptions } from './rollouts.ts'

/** Requests slower than the 99th percentile of what is usual: by definition. */
const SLOW_RATE = 0.01
/** A rate of errors to plan with where there were none: half of the cap below which a version passes all the same. */
const RARE = 0.005

/** @throws as `Rollouts.start` */
export async function planOf(
  { ground, rollouts }: { readonly ground: RolloutGround; readonly rollouts: Rollouts },
  scope: Scope,
  name: string,
  { to, rollout }: Pick<StartOptions, 'to' | 'rollout'>,
): Promise<RolloutPlan> {
  const { endpoint: row, spec, inForce, variants } = await rollouts.wanted(scope, name, to)
  const declared = resolveRollout(rollout ?? spec.rollout ?? {})
  const made = { endpoint: row, at: ground.clock.epochMs(), variants, before: inForce }
  const strategy = rollout === undefined ? await strategyFor(ground.database.read, made, declared) : declared
  const endpoint = await ground.delivery.endpoints.get(scope, name)
  const [from, target] = [ofModel(inForce.variants), ofModel(variants)]
  const { edgeMs, ...usual } = await frozenOf(ground, endpoint, { from, strategy })
  const lasts = strategy.stages.reduce((sum, { bakeMs }) => sum + bakeMs, strategy.bakeAfterMs + strategy.watchAfterMs)
  return {
    endpoint: name,
    from: { revision: inForce.number, ...from },
    to: target,
    strategy: strategy.strategy,
    stages: [...strategy.stages],
    bakeAfterMs: strategy.bakeAfterMs,
    watchAfterMs: strategy.watchAfterMs,
    steps: strategy.stages.length > 0,
    ...(strategy !== declared && { reason: 'it was in force a short while ago: going back takes no steps' }),
    traffic: {
      requestsPerSecond: usual.requestsPerSecond,
      errorRate: usual.errorRate,
      ...(edgeMs !== undefined && { edgeMs }),
    },
    leastSeconds: lasts / 1000,
    expectations: expectationsOf(strategy, { ...usual, edgeMs }),
    gates: await waitingFor(ground.database.read, scope.environment, target, strategy.gates),
  }
}

/** Of the first step with a share, where a bad version is to be seen, and of the last, where a good one is to pass. */
function expectationsOf(
  strategy: ResolvedRollout,
  {
    requestsPerSecond,
    errorRate,
    edgeMs,
  }: { readonly requestsPerSecond: number; readonly errorRate: number; readonly edgeMs: number | undefined },
): RolloutPlan['expectations'] {
  const shares = strategy.stages.filter(({ weight }) => weight > 0).map(({ weight }) => weight / 100)
  const [first, last] = [shares[0], shares.at(-1)]
  if (first === undefined || last === undefined) return []
  // As it will be judged: labels come when they come, and nothing can be said of them now.
  const { metrics } = resolveJudge(rulesOf({ strategy, edgeMs }).options)
  return metrics.flatMap((rule) => {
    if (rule.metric === WRONG_LABELS) return []
    const baseRate = rule.metric === ERRORS ? Math.max(errorRate, errorRate === 0 ? RARE : 0) : SLOW_RATE
    const at = (share: number, shown: 'fail' | 'pass') =>
      expectations(rule, { share, baseRate, requestsPerSecond })
        .filter((one) => one.shown === shown)
        .map(({ requests, seconds, ...one }) => ({
          metric: rule.metric,
          share,
          ...one,
          ...(requests !== undefined && { requests }),
          ...(seconds !== undefined && Number.isFinite(seconds) && { seconds }),
        }))
    return [...at(first, 'fail'), ...at(last, 'pass')]
  })
}
