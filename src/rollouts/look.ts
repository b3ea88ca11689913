/**
 * A look at a rollout: what servers report, what was counted, what others say; then the decision that follows, written in one transaction
 * that fails where the rollout has changed meanwhile.
 */
import { isSlipwayError } from '../core/errors.ts'
import { lockModels } from '../delivery/resolve.ts'
import { lockEndpoint } from '../delivery/lock-endpoint.ts'
import { toEndpoint } from '../delivery/read-endpoints.ts'
import { revisionOf } from '../delivery/revisions.ts'
import { nameBeside, nameOfCopy } from '../delivery/routing-document.ts'
import { decide, hasEnded } from './decide.ts'
import { frozenOf } from './edge.ts'
import { frozenUntil } from './freeze.ts'
import { waitingFor } from './gates.ts'
import { judgeRollout } from './judging.ts'
import { askOthers } from './outside.ts'
import { firstsOf, toRollout } from './rollout.ts'
import { back, end, goOn, load, noteLook, pause, stepTo } from './transitions.ts'
import type { RolloutEvidence } from '../contract/rollout-api.ts'
import type { DeclaredEndpoint } from '../delivery/read-endpoints.ts'
import type { ReportOf } from '../delivery/servers.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Decision, Sight } from './decide.ts'
import type { Frozen } from './edge.ts'
import type { Judged } from './judging.ts'
import type { RolloutState } from './rollout.ts'
import type { RolloutGround, Rollouts } from './rollouts.ts'
import type { Place } from './transitions.ts'

/** Names of the rollouts that are due for a look. */
export async function dueRollouts({ database, clock }: Pick<RolloutGround, 'database' | 'clock'>): Promise<string[]> {
  const rows = await database.read.selectFrom('rollouts').select('id').where('next_look_at', '<=', clock.epochMs()).execute()
  return rows.map(({ id }) => id)
}

/** Looks at one rollout, and does what follows. */
export async function lookAt(
  ground: RolloutGround,
  { rollouts, signal }: { readonly rollouts: Rollouts; readonly signal: AbortSignal },
  id: string,
): Promise<void> {
  const { database, clock, newId } = ground
  const row = await database.read.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) return
  const rollout = toRollout(row)
  if (hasEnded(rollout)) return
  const stored = await database.read.selectFrom('endpoints').selectAll().where('id', '=', rollout.endpointId).executeTakeFirstOrThrow()
  const endpoint = await toEndpoint(database.read, stored)
  const seen = await see(ground, { rollout, endpoint, signal })
  const decision = decide(rollout, seen.sight)
  if (decision.do === 'stay') {
    const look = { at: clock.epochMs(), waitsFor: decision.waitsFor, evidence: seen.evidence, peaks: seen.judged?.peaks }
    await database.write((write) => noteLook(write, rollout, look))
    return
  }
  const scope: Scope = { environment: endpoint.environment, actor: 'slipway' }
  const usual = decision.do === 'load' ? await frozenOf(ground, endpoint, rollout) : undefined
  try {
    await database.write(async (write) => {
      if (rollout.onPromoted !== undefined) await lockModels(write, scope, [rollout.onPromoted.model])
      const locked = await lockEndpoint(write, scope, rollout.endpointId)
      // Somebody may have commanded something else since it was read.
      const now = await write.selectFrom('rollouts').select('changes').where('id', '=', id).executeTakeFirst()
      if (now?.changes !== rollout.changes || locked.deleted_at !== null) return
      const place: Place = {
        write,
        scope,
        endpoint: locked,
        rollout,
        at: clock.epochMs(),
        newId,
        evidence: seen.evidence,
        peaks: seen.judged?.peaks,
      }
      await carryOut(place, rollouts, decision, usual)
    })
  } catch (error) {
    if (decision.do !== 'put in force' || rollout.onPromoted === undefined || !isSlipwayError(error) || error.kind.retry) throw error
    await holdForAlias(ground, rollout, scope, `the alias "${rollout.onPromoted.alias}" cannot move: ${error.message}`)
  }
}

async function carryOut(
  place: Place,
  rollouts: Rollouts,
  decision: Exclude<Decision, { do: 'stay' }>,
  usual: Frozen | undefined,
): Promise<void> {
  switch (decision.do) {
    case 'load':
      return await load(place, usual!)
    case 'step':
      return await stepTo(place, decision.to, decision.why)
    case 'pause':
      return await pause(place, decision.for, decision.why)
    case 'go on':
      return await goOn(place, decision.why)
    case 'back':
      return place.rollout.state === 'watching' ? await rollouts.undo(place, decision.why) : await back(place, 'rolled back', decision.why)
    case 'put in force':
      return await rollouts.force(place, decision.why)
    case 'end':
      return await end(place, 'promoted', 'nothing turned it back')
  }
}

/** The version has all requests, and its alias is refused: a person has to see to it. */
async function holdForAlias({ database, clock, newId }: RolloutGround, rollout: RolloutState, scope: Scope, why: string): Promise<void> {
  await database.write(async (write) => {
    const endpoint = await lockEndpoint(write, scope, rollout.endpointId)
    await pause({ write, scope, endpoint, rollout, at: clock.epochMs(), newId }, 'alias', why)
  })
}

interface Seen {
  readonly sight: Sight
  readonly judged: Judged | undefined
  readonly evidence: RolloutEvidence | undefined
}

async function see(
  ground: RolloutGround,
  { rollout, endpoint, signal }: { readonly rollout: RolloutState; readonly endpoint: DeclaredEndpoint; readonly signal: AbortSignal },
): Promise<Seen> {
  const { database, clock } = ground
  const nowMs = clock.epochMs()
  const { strategy, state } = rollout
  const isWaiting = state === 'waiting'
  const unmet = isWaiting ? await waitingFor(database.read, endpoint.environment, rollout.to, strategy.gates) : []
  const servers = isWaiting ? { live: 0, ready: 0 } : await serversOf(ground, rollout, endpoint)
  const judged = isWaiting ? undefined : (stillJudged(rollout, nowMs) ?? (await judgeNow(ground, { rollout, endpoint, nowMs })))
  const isServed = state === 'progressing' || state === 'paused' || state === 'baking'
  const checks = isServed ? await askOthers(ground.outside, endpoint, { rollout, nowMs, signal }) : []
  const guarding = checks.filter(({ role }) => role === 'guardrail')
  const told = guarding.map(({ name, verdict, sentence }) => ({ verdict, text: `check ${name}: ${sentence}` }))
  const failed = told.filter(({ verdict }) => verdict === 'fail').map(({ text }) => text)
  return {
    sight: {
      nowMs,
      unmet: unmet.map(({ waitsFor }) => waitsFor),
      frozenUntilMs: frozenUntil(strategy.freeze, nowMs),
      servers,
      verdict: failed.length > 0 ? 'fail' : (judged?.verdict ?? 'no data'),
      failures: [...(judged?.failures ?? []), ...failed],
      sample: judged?.sample ?? 0,
      newestMs: judged?.newestMs,
      unanswered: told.filter(({ verdict }) => verdict !== 'pass').map(({ text }) => text),
    },
    judged,
    evidence:
      judged === undefined ? undefined : { ...judged.answer, ...(failed.length > 0 && { verdict: 'fail' as const }), checks, servers },
  }
}

/** Windows come every ten seconds, and what has been watched for long is long to read. */
function stillJudged(rollout: RolloutState, nowMs: number): Judged | undefined {
  const { evidence: known, stepBeganAt, createdAt, peaks } = rollout
  const everyMs = Math.min(JUDGE_MAX_MS, JUDGE_MS + (nowMs - createdAt) / 360)
  if (known === undefined || known.at < stepBeganAt || nowMs - known.at > everyMs) return undefined
  const { verdict, failures, sample, newest } = known
  return { verdict, failures, sample, newestMs: newest, peaks, answer: known }
}

const JUDGE_MS = 2000
/** However long it has been watched: a failure is seen within a minute of its window. */
const JUDGE_MAX_MS = 60_000

async function judgeNow(
  ground: RolloutGround,
  { rollout, endpoint, nowMs }: { readonly rollout: RolloutState; readonly endpoint: DeclaredEndpoint; readonly nowMs: number },
): Promise<Judged> {
  return await judgeRollout(ground, {
    environment: endpoint.environment,
    endpoint: endpoint.name,
    rollout,
    segments: await ground.delivery.segments(endpoint),
    variant: endpoint.revision.variants[0]!.name,
    nowMs,
    firsts: await firstsOf(ground.database.read, rollout.endpointId),
  })
}

/** How many servers that were heard of in time have the new version loaded, and the fresh copy of the one before. */
async function serversOf(
  { database, delivery }: RolloutGround,
  rollout: RolloutState,
  { id, revision }: DeclaredEndpoint,
): Promise<Sight['servers']> {
  const made = (await revisionOf(database.read, id, rollout.to.revision))!.variants[0]!
  const isInForce = revision.number === rollout.to.revision
  const name = isInForce ? made.name : nameBeside(made.name, rollout.to.revision)
  const live = ((await delivery.servers.reports([id])).get(id) ?? []).filter((report) => report.live)
  const conditions = live.map((report) => ({ report, condition: conditionOf(report, name, made.digest) }))
  const inForce = revision.variants[0]!
  // Requests go to a fresh copy once it can answer them, too.
  const copied = (report: ReportOf): boolean =>
    isInForce || !rollout.strategy.baseline || conditionOf(report, nameOfCopy(inForce.name), inForce.digest)?.state === 'ready'
  const ready = conditions.filter(({ report, condition }) => condition?.state === 'ready' && copied(report)).length
  const failing = conditions.filter(({ condition }) => condition?.state === 'failed')
  const [failed] = failing
  const tripped = conditions.find(({ condition }) => condition?.tripped !== undefined)
  return {
    live: live.length,
    ready,
    ...(failed !== undefined && {
      failed: `${failed.report.server}: ${failed.condition?.reason ?? 'it failed'}`,
      failing: failing.length,
    }),
    ...(tripped !== undefined && { tripped: `${tripped.report.server}: ${tripped.condition!.tripped!}` }),
  }
}

function conditionOf({ versions }: ReportOf, variant: string, digest: string): ReportOf['versions'][number] | undefined {
  return versions.find((one) => one.variant === variant && one.digest === digest)
}
