/** How rollouts begin: as a revision that was made is to come into force, or as somebody starts one. */
import { isDeepStrictEqual } from 'node:util'
import { resolveRollout } from '../contract/rollout.ts'
import { faultPoint } from '../core/fail-point.ts'
import { revisionOf } from '../delivery/revisions.ts'
import { setRouting } from '../delivery/routing-states.ts'
import { atOnce } from '../delivery/strategy.ts'
import { nextNumber } from '../ledger/counters.ts'
import { shadowsOf } from '../delivery/routing-document.ts'
import { frozenUntil } from './freeze.ts'
import { activeOf, rolloutsOf, toRollout } from './rollout.ts'
import { end, noteTransition } from './transitions.ts'
import type { Kysely } from 'kysely'
import type { ResolvedRollout } from '../contract/rollout.ts'
import type { MadeRevision, Strategy } from '../delivery/strategy-port.ts'
import type { ResolvedVariant } from '../delivery/resolve.ts'
import type { Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { Peaks } from '../judge/judgement.ts'
import type { OfModel, OnPromoted, RolloutState } from './rollout.ts'

/** Brings revisions into force by the rollout that their spec declares; at once where it has none, or where there is nothing to walk from. */
export const byRollout: Strategy = {
  async introduce(write, made) {
    const { spec, before, variants, at } = made
    // Times that cannot be read are refused as they are declared.
    frozenUntil(spec.rollout?.freeze ?? [], at)
    const active = await activeOf(write, made.endpoint.id)
    if (spec.rollout === undefined || before === undefined || isSameVersion(before.variants, variants) || before.variants.length > 1) {
      if (active !== undefined) await supersede(write, made, active)
      await atOnce.introduce(write, made)
      return
    }
    await begin(write, made, await strategyFor(write, made, resolveRollout(spec.rollout)), {})
  },
  async owner(read, endpointId) {
    const active = await activeOf(read, endpointId)
    // Once it is in force, shares are a person's again.
    if (active === undefined || active.state === 'watching') return undefined
    const { name } = await read.selectFrom('endpoints').select('name').where('id', '=', endpointId).executeTakeFirstOrThrow()
    const { number, to } = active
    return `rollout ${number} to ${to.model}/${to.version}; to move them by hand, end it first: slipway rollout abort ${name}`
  },
  async coming(read, endpointId) {
    const active = await activeOf(read, endpointId)
    return active === undefined ? undefined : (await revisionOf(read, endpointId, active.to.revision))?.variants
  },
  async letGo(write, { endpoint, scope, at }) {
    const rollout = await activeOf(write, endpoint.id)
    if (rollout === undefined) return false
    await thawEdges(write, rollout)
    const place = { write, scope: { ...scope, once: undefined }, endpoint, rollout, at, newId: () => '' }
    await end(place, 'aborted', scope.reason ?? 'something else was put in force')
    return rollout.state !== 'watching'
  },
  async turnedBack(read, endpointId) {
    const rows = await read.selectFrom('rollouts').select(['to_revision', 'state']).where('endpoint_id', '=', endpointId).execute()
    const stayed = new Set(rows.filter(({ state }) => state === 'promoted' || state === 'watching').map(({ to_revision: to }) => to))
    return new Set(rows.map(({ to_revision: to }) => to).filter((to) => !stayed.has(to)))
  },
}

/** Whether nothing but shares and audiences is different. */
function isSameVersion(before: readonly ResolvedVariant[], after: readonly ResolvedVariant[]): boolean {
  const versions = (variants: readonly ResolvedVariant[]): unknown =>
    variants.map(({ versionId, serving, name }) => ({ versionId, serving, name }))
  return isDeepStrictEqual(versions(before), versions(after))
}

/** What was in force a short while ago needs no steps. */
export async function strategyFor(
  read: Kysely<Schema>,
  { endpoint, at, variants, before }: Pick<MadeRevision, 'endpoint' | 'at' | 'variants' | 'before'>,
  strategy: ResolvedRollout,
): Promise<ResolvedRollout> {
  const since = at - strategy.rollbackWindowMs
  if (before === undefined || isVersion(ofModel(before.variants), ofModel(variants))) return strategy
  for (const { state, from, endedAt } of await rolloutsOf(read, endpoint.id, 20)) {
    if (state !== 'promoted' || (endedAt ?? 0) < since || !isVersion(from, ofModel(variants))) continue
    const left = await revisionOf(read, endpoint.id, from.revision)
    if (left !== undefined && isSameVersion(left.variants, variants)) return { ...strategy, strategy: 'all-at-once', stages: [] }
  }
  return strategy
}

export function ofModel(variants: readonly ResolvedVariant[]): OfModel {
  const [{ model, version }] = variants as readonly [ResolvedVariant]
  return { model, version: String(version) }
}

export function isVersion(a: OfModel, b: OfModel): boolean {
  return a.model === b.model && a.version === b.version
}

export interface BeginOptions {
  readonly onPromoted?: OnPromoted | undefined
  /** Forget what was shown of the same versions before. */
  readonly anew?: boolean
}

/** Starts a walk to a revision that was made; one that is on its way to another is superseded. */
export async function begin(
  write: Write,
  made: Omit<MadeRevision, 'cause' | 'spec'>,
  strategy: ResolvedRollout,
  { onPromoted, anew = false }: BeginOptions,
): Promise<RolloutState> {
  const { endpoint, number: revision, variants, before, scope, at, newId } = made
  frozenUntil(strategy.freeze, at)
  const active = await activeOf(write, endpoint.id)
  const kept = anew ? undefined : await keptOf(write, made, strategy)
  const isWalking = active !== undefined && active.state !== 'watching'
  const routing = isWalking ? active.before : await routingOf(write, endpoint.id)
  if (active !== undefined) await supersede(write, made, active)
  // The version that was on its way gets nothing more while the next one loads.
  if (isWalking) {
    await setRouting(write, { endpointId: endpoint.id, revision: endpoint.current_revision, beside: undefined, ...routing, at, newId })
    await nextNumber(write, 'delivery')
  }
  const [from, to] = [ofModel(before!.variants), ofModel(variants)]
  const { newest } = await write
    .selectFrom('rollouts')
    .select((columns) => columns.fn.max('number').as('newest'))
    .where('endpoint_id', '=', endpoint.id)
    .executeTakeFirstOrThrow()
  const row = await write
    .insertInto('rollouts')
    .values({
      id: newId(),
      endpoint_id: endpoint.id,
      number: ((newest as number | null) ?? 0) + 1,
      from_revision: endpoint.current_revision,
      to_revision: revision,
      from_version: JSON.stringify(from),
      to_version: JSON.stringify(to),
      strategy: JSON.stringify(strategy),
      state: 'waiting',
      paused_for: null,
      interrupted: null,
      step: -1,
      step_began_at: at,
      step_segment: null,
      first_segment: null,
      first_at: null,
      waits_for: null,
      routing_before: JSON.stringify(routing),
      edge_ms: null,
      error_rate: null,
      evidence_from: anew ? at : (kept?.evidenceFrom ?? 0),
      peaks: JSON.stringify(kept?.peaks ?? {}),
      evidence: null,
      verdict: null,
      on_promoted: onPromoted === undefined ? null : JSON.stringify(onPromoted),
      actor: scope.actor,
      reason: scope.reason ?? null,
      changes: 1,
      next_look_at: at,
      created_at: at,
      updated_at: at,
      ended_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  await faultPoint('rollout.begun')
  const rollout = toRollout(row)
  const place = { write, scope: { ...scope, once: undefined }, endpoint, rollout, at }
  await noteTransition(place, { from: undefined, state: 'waiting', step: -1, why: scope.reason, evidence: undefined })
  return rollout
}

/** Ends a rollout whose place another one takes. The routing is set by whatever comes in its place. */
async function supersede(
  write: Write,
  { endpoint, scope, at, newId, variants }: Pick<MadeRevision, 'endpoint' | 'scope' | 'at' | 'newId' | 'variants'>,
  rollout: RolloutState,
): Promise<void> {
  const { model, version } = ofModel(variants)
  await thawEdges(write, rollout)
  await end(
    { write, scope: { ...scope, once: undefined }, endpoint, rollout, at, newId },
    'superseded',
    `${model}/${version} takes its place`,
  )
}

/** The latency edge of a rollout ends with it, whoever sets the routing next. */
async function thawEdges(write: Write, { endpointId, before: { edges } }: RolloutState): Promise<void> {
  await write
    .updateTable('routing_states')
    .set({ edges: edges.length === 0 ? null : JSON.stringify(edges) })
    .where('endpoint_id', '=', endpointId)
    .execute()
}

/** Shares that a rollout goes back to. */
async function routingOf(write: Write, endpointId: string): Promise<RolloutState['before']> {
  const row = await write
    .selectFrom('routing_states')
    .select(['weights', 'shadows', 'edges'])
    .where('endpoint_id', '=', endpointId)
    .executeTakeFirstOrThrow()
  return {
    weights: JSON.parse(row.weights) as Record<string, number>,
    shadows: shadowsOf(row),
    edges: row.edges === null ? [] : (JSON.parse(row.edges) as number[]),
  }
}

/**
 * What earlier walks between the same versions have shown, so that starting again does not spend the false alarms anew. What has passed is
 * to pass again.
 */
async function keptOf(
  read: Kysely<Schema>,
  { endpoint, variants, before }: Pick<MadeRevision, 'endpoint' | 'variants' | 'before'>,
  strategy: ResolvedRollout,
): Promise<{ readonly evidenceFrom: number; readonly peaks: Record<string, Peaks> } | undefined> {
  for (const earlier of await rolloutsOf(read, endpoint.id, 20)) {
    if (!isVersion(earlier.from, ofModel(before!.variants)) || !isVersion(earlier.to, ofModel(variants))) continue
    const [from, to] = await Promise.all([
      revisionOf(read, endpoint.id, earlier.from.revision),
      revisionOf(read, endpoint.id, earlier.to.revision),
    ])
    // Other settings are another thing, and other limits another question.
    const isSame = isSameVersion(from?.variants ?? [], before!.variants) && isSameVersion(to?.variants ?? [], variants)
    if (!isSame) continue
    const sameRules = isDeepStrictEqual(rulesOf(earlier.strategy), rulesOf(strategy))
    const fails = [...earlier.peaks].map(([metric, { fail }]): [string, Peaks] => [metric, { fail, pass: 0 }])
    return { evidenceFrom: earlier.evidenceFrom, peaks: sameRules ? Object.fromEntries(fails) : {} }
  }
  return undefined
}

function rulesOf({ errors, latency, labels, falseAlarm, outputs }: ResolvedRollout): unknown {
  return { errors, latency, labels, falseAlarm, outputs }
}
