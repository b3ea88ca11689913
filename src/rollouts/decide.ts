/** What a rollout does next, by what was seen. Pure: the same sight has the same decision. */
import { ENDS } from '../contract/rollout-api.ts'
import { stageAt } from './rollout.ts'
import type { Verdict } from '../judge/judgement.ts'
import type { Stage } from '../contract/rollout.ts'
import type { End, PausedFor, RolloutState } from './rollout.ts'

/** What a look sees. Times are UTC epoch milliseconds. */
export interface Sight {
  readonly nowMs: number
  /** Gates that are not passed, each with what it waits for. */
  readonly unmet: readonly string[]
  /** End of the time in which no step is taken. */
  readonly frozenUntilMs: number | undefined
  readonly servers: {
    readonly live: number
    /** Live servers that have the new version loaded. */
    readonly ready: number
    /** Why one of them cannot load it, and how many cannot. */
    readonly failed?: string
    readonly failing?: number
    /** Why one of them has taken it out. */
    readonly tripped?: string
  }
  readonly verdict: Verdict
  /** Why the verdict is to fail. */
  readonly failures: readonly string[]
  /** Requests of the new version in the present step. */
  readonly sample: number
  /** End of the newest window with requests of either version. */
  readonly newestMs: number | undefined
  /** Checks of others that do not pass, and which every step waits for. */
  readonly unanswered: readonly string[]
}

export type Decision =
  | { readonly do: 'stay'; readonly waitsFor?: string }
  | { readonly do: 'load' }
  | { readonly do: 'step'; readonly to: number; readonly why: string }
  | { readonly do: 'pause'; readonly for: PausedFor; readonly why: string }
  | { readonly do: 'go on'; readonly why: string }
  | { readonly do: 'back'; readonly why: string }
  | { readonly do: 'put in force'; readonly why: string }
  | { readonly do: 'end' }

const stay = (waitsFor?: string): Decision => (waitsFor === undefined ? { do: 'stay' } : { do: 'stay', waitsFor })

export function hasEnded({ state }: Pick<RolloutState, 'state'>): boolean {
  return ENDS.includes(state as End)
}

/** Decides what comes of a sight. A rollout that fails goes back from wherever it is. */
export function decide(rollout: RolloutState, sight: Sight): Decision {
  if (hasEnded(rollout)) return stay()
  const failure = failureOf(rollout, sight)
  if (failure !== undefined) return { do: 'back', why: failure }
  switch (rollout.state) {
    case 'waiting':
      return fromWaiting(sight)
    case 'loading':
      return fromLoading(rollout, sight)
    case 'progressing':
      return fromStep(rollout, sight)
    case 'paused':
      return fromPause(rollout, sight)
    case 'baking':
      return sight.frozenUntilMs === undefined
        ? after(rollout.stepBeganAt + rollout.strategy.bakeAfterMs, sight, { do: 'put in force', why: 'all steps are done' })
        : stay(frozen(sight.frozenUntilMs))
    default:
      return after(rollout.stepBeganAt + rollout.strategy.watchAfterMs, sight, { do: 'end' })
  }
}

function failureOf({ state, to, stepBeganAt }: RolloutState, { nowMs, servers, verdict, failures }: Sight): string | undefined {
  // Nobody has it yet.
  if (state === 'waiting') return undefined
  const name = `${to.model}/${to.version}`
  // Once it is in force, servers that fail are no business of the rollout.
  if (state !== 'watching' && servers.tripped !== undefined) return `a server has taken ${name} out by itself: ${servers.tripped}`
  // A download may fail once; and a server that comes later, and cannot load it, is alone with that where others can.
  const isLost = state === 'loading' ? nowMs - stepBeganAt > LOAD_AGAIN_MS : (servers.failing ?? 1) > servers.ready
  if (state !== 'watching' && servers.failed !== undefined && isLost)
    return `a server cannot ${state === 'loading' ? 'load' : 'serve'} ${name}: ${servers.failed}`
  return verdict === 'fail' ? failures.join('; ') : undefined
}

/** Time in which servers may try again to load a version. */
const LOAD_AGAIN_MS = 30_000

function fromWaiting({ unmet, frozenUntilMs }: Sight): Decision {
  if (unmet.length > 0) return stay(unmet.join('; '))
  return frozenUntilMs === undefined ? { do: 'load' } : stay(frozen(frozenUntilMs))
}

function fromLoading({ stepBeganAt, strategy, to }: RolloutState, { nowMs, frozenUntilMs, servers: { live, ready } }: Sight): Decision {
  const missing =
    live === 0 ? 'a server that follows the endpoint' : `${live - ready} of ${live} servers, which load ${to.model}/${to.version}`
  if (live > 0 && ready === live && frozenUntilMs !== undefined) return stay(frozen(frozenUntilMs))
  if (live > 0 && ready === live) return { do: 'step', to: 0, why: `${ready} of ${live} servers have ${to.model}/${to.version} loaded` }
  // Loading has no deadline of its own: that of the first step.
  const deadlineMs = strategy.stages[0]?.deadlineMs ?? LOADING_MS
  if (live > 0 && nowMs - stepBeganAt > deadlineMs) return { do: 'pause', for: 'deadline', why: `it still waits for ${missing}` }
  return stay(missing)
}

/** How long servers may load where there are no steps: an hour. */
const LOADING_MS = 3_600_000

function fromStep(rollout: RolloutState, sight: Sight): Decision {
  const { strategy, step, stepBeganAt } = rollout
  const stage = strategy.stages[step]!
  const gap = dataGap(rollout, sight)
  if (gap !== undefined) return { do: 'pause', for: 'no data', why: gap }
  const missing = missingOf(stage, rollout, sight)
  if (missing === undefined) {
    if (stage.approve) return { do: 'pause', for: 'approval', why: 'a person has to promote it from here' }
    if (sight.frozenUntilMs !== undefined) return stay(frozen(sight.frozenUntilMs))
    return { do: 'step', to: step + 1, why: `step ${step + 1} of ${strategy.stages.length} is done` }
  }
  if (sight.nowMs - stepBeganAt <= stage.bakeMs + stage.deadlineMs) return stay(missing)
  const why = `step ${step + 1} has taken longer than it may, and waits for ${missing}`
  return strategy.onDeadline === 'back' ? { do: 'back', why } : { do: 'pause', for: 'deadline', why }
}

/** What a step waits for; undefined once it is done. */
function missingOf(stage: Stage, { stepBeganAt, to }: RolloutState, sight: Sight): string | undefined {
  const { live, ready } = sight.servers
  const bakedAt = stepBeganAt + stage.bakeMs
  if (sight.nowMs < bakedAt) return `the end of the step, in ${seconds(bakedAt - sight.nowMs)}`
  if (live === 0) return 'a server that follows the endpoint'
  if (ready < live) return `${live - ready} of ${live} servers, which do not have ${to.model}/${to.version} loaded`
  if (stage.needs === 'nothing') return undefined
  if (sight.sample < stage.minimumSample)
    return `${stage.minimumSample - sight.sample} of ${stage.minimumSample} requests of the new version in this step`
  if (sight.unanswered.length > 0) return sight.unanswered.join('; ')
  return stage.needs === 'pass' && sight.verdict !== 'pass' ? 'all guardrails to pass' : undefined
}

/** Why there is no evidence, once there should be; undefined where there is. */
function dataGap(rollout: RolloutState, { nowMs, newestMs, verdict }: Sight): string | undefined {
  const { freshnessMs, stages } = rollout.strategy
  const stage = stages[rollout.step]!
  // Audiences are no evidence.
  if (stage.needs === 'nothing' || nowMs - rollout.stepBeganAt < freshnessMs) return undefined
  if (newestMs === undefined || nowMs - newestMs > freshnessMs)
    return `no requests were seen ${newestMs === undefined ? 'yet' : `for ${seconds(nowMs - newestMs)}`}: neither a failure nor a success can be shown`
  const { weight } = stageAt(rollout, rollout.step)
  return weight > 0 && verdict === 'no data' ? 'the new version, or the one before, has had no request that chance assigned' : undefined
}

function fromPause(rollout: RolloutState, sight: Sight): Decision {
  const { pausedFor, waitsFor, interrupted, strategy, step } = rollout
  const stage = strategy.stages[step]
  if (interrupted === 'progressing' && stage !== undefined) {
    if (pausedFor === 'no data' && dataGap(rollout, sight) === undefined) return { do: 'go on', why: 'there are requests again' }
    if (pausedFor === 'deadline' && missingOf(stage, rollout, sight) === undefined)
      return { do: 'go on', why: 'what it waited for has come' }
  }
  return stay(waitsFor)
}

function after(atMs: number, { nowMs }: Sight, decision: Decision): Decision {
  return nowMs >= atMs ? decision : stay(`the end of the time in which it is watched, in ${seconds(atMs - nowMs)}`)
}

function frozen(untilMs: number): string {
  return `the end of the freeze, ${new Date(untilMs).toISOString()}`
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`
}
