/**
 * What rollouts write: each function is a part of one transaction, in which the row of the endpoint is locked. A rollout that has changed
 * since it was read is not changed again.
 */
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { bump, suspend } from '../delivery/lock-endpoint.ts'
import { revisionOf } from '../delivery/revisions.ts'
import { nameBeside, nameOfCopy } from '../delivery/routing-document.ts'
import { putInForce, setRouting } from '../delivery/routing-states.ts'
import { declaredShares } from '../delivery/strategy.ts'
import { nextNumber } from '../ledger/counters.ts'
import { record } from '../ledger/events.ts'
import { hasEnded } from './decide.ts'
import { stageAt } from './rollout.ts'
import type { Selectable } from 'kysely'
import type { RolloutEvidence } from '../contract/rollout-api.ts'
import type { EndpointsRow } from '../delivery/tables.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { End, PausedFor, RolloutState, State } from './rollout.ts'

/** Where a rollout is changed, and on whose behalf. */
export interface Place {
  readonly write: Write
  readonly scope: Scope
  /** Locked until the transaction ends. */
  readonly endpoint: Selectable<EndpointsRow>
  readonly rollout: RolloutState
  readonly at: number
  readonly newId: () => string
  /** What was seen; kept with the transition. */
  readonly evidence?: RolloutEvidence | undefined
  /** The most that was shown so far. */
  readonly peaks?: RolloutState['peaks'] | undefined
}

/** Time between two looks, milliseconds. What has been watched for a day is read through once a minute, as it is long. */
const LOOK_MS = 1000
const LOOK_MAX_MS = 60_000

interface Change {
  readonly state: State
  readonly step?: number
  /** Number of the routing that the step began with. */
  readonly segment?: number
  readonly pausedFor?: PausedFor
  readonly interrupted?: State
  readonly edgeMs?: number | undefined
  readonly errorRate?: number
  /** Whether the step goes on as it was, and its time with it. */
  readonly sameStep?: boolean
  readonly why: string | undefined
}

/** The servers begin to load the version, and a latency edge is frozen before the first of the evidence. */
export async function load(place: Place, usual: { readonly edgeMs: number | undefined; readonly errorRate: number }): Promise<void> {
  await route(place, -1, usual.edgeMs)
  await change(place, { state: 'loading', ...usual, why: undefined })
}

/** The next step, or all requests once there is none. */
export async function stepTo(place: Place, step: number, why: string): Promise<void> {
  const { strategy } = place.rollout
  const segment = await route(place, step)
  await change(place, { state: step >= strategy.stages.length ? 'baking' : 'progressing', step, segment, why })
}

export async function pause(place: Place, pausedFor: PausedFor, why: string): Promise<void> {
  const { state, interrupted } = place.rollout
  const before = state === 'paused' ? (interrupted ?? 'progressing') : state
  await change(place, { state: 'paused', pausedFor, interrupted: before, sameStep: true, why })
}

export async function goOn(place: Place, why: string): Promise<void> {
  // A person who resumes gives a step its time anew.
  const sameStep = place.rollout.pausedFor === 'no data'
  await change(place, { state: place.rollout.interrupted ?? 'progressing', sameStep, why })
}

/**
 * The version before has all requests again: the desired state is the revision of before. Aliases that mean the new version are not followed
 * until somebody says so.
 */
export async function back(place: Place, state: Exclude<End, 'promoted'>, why: string): Promise<void> {
  const { write, scope, endpoint, rollout, at, newId } = place
  const { from, to, before } = rollout
  await setRouting(write, { endpointId: endpoint.id, revision: from.revision, beside: undefined, ...before, at, newId })
  const made = await revisionOf(write, endpoint.id, to.revision)
  if (state !== 'superseded' && (made?.cause !== 'rollout' || rollout.state === 'watching')) {
    await suspend(write, endpoint.id, { at, by: scope.actor, reason: why, revision: from.revision })
  }
  await faultPoint('rollout.back')
  await routed(place)
  await change(place, { state, why })
}

/** The revision is in force; servers give its version the plain name, and end the one before. */
export async function bringIntoForce(place: Place, why: string): Promise<void> {
  const { write, endpoint, rollout, at, newId } = place
  const { to, before, strategy } = rollout
  const { variants } = (await revisionOf(write, endpoint.id, to.revision))!
  await putInForce(write, { endpointId: endpoint.id, number: to.revision, at })
  const shares = declaredShares(variants)
  await setRouting(write, { endpointId: endpoint.id, revision: to.revision, beside: undefined, ...shares, edges: before.edges, at, newId })
  await faultPoint('rollout.forced')
  await routed(place)
  await change(place, { state: strategy.watchAfterMs > 0 ? 'watching' : 'promoted', why })
}

/** Ends a rollout whose routing is somebody else's by now. */
export async function end(place: Place, state: End, why: string | undefined): Promise<void> {
  await change(place, { state, why })
}

/** Shares of a step between the version in force, its fresh copy, and the new one. @returns the number of the segment */
async function route(place: Place, step: number, edgeMs: number | undefined = place.rollout.edgeMs): Promise<number> {
  const { write, endpoint, rollout, at, newId } = place
  const { from, to, before, strategy } = rollout
  const { weight, shadow } = stageAt(rollout, step)
  const inForce = (await revisionOf(write, endpoint.id, from.revision))!.variants[0]!.name
  const besides = nameBeside((await revisionOf(write, endpoint.id, to.revision))!.variants[0]!.name, to.revision)
  const copy = strategy.baseline ? Math.min(weight, 100 - weight) : 0
  const segment = await setRouting(write, {
    endpointId: endpoint.id,
    revision: from.revision,
    beside: to.revision,
    weights: {
      [inForce]: 100 - weight - copy,
      ...(strategy.baseline && { [nameOfCopy(inForce)]: copy }),
      [besides]: weight,
    },
    shadows: shadow > 0 ? { [besides]: shadow } : {},
    edges: edgeMs === undefined || before.edges.includes(edgeMs) ? before.edges : [...before.edges, edgeMs],
    ...(strategy.audience.length > 0 && step >= 0 && { audiences: { [besides]: strategy.audience } }),
    baseline: strategy.baseline,
    ...(strategy.rollbackAfterMs !== undefined && { lostAfterMs: strategy.rollbackAfterMs }),
    at,
    newId,
  })
  await faultPoint('rollout.routed')
  await routed(place)
  return segment
}

/** Servers have another document to follow. */
async function routed({ write, endpoint, at }: Place): Promise<void> {
  await bump(write, endpoint.id, { updated_at: at })
  await nextNumber(write, 'delivery')
}

/** Writes a change of state down, with its transition and its event. @throws SLW_CONFLICT where the rollout has changed meanwhile */
async function change(place: Place, changed: Change): Promise<void> {
  const { write, endpoint, rollout, at, evidence } = place
  const { state, step = rollout.step, segment, pausedFor, interrupted, edgeMs, errorRate, sameStep = false, why } = changed
  const ended = hasEnded({ state })
  const { numUpdatedRows } = await write
    .updateTable('rollouts')
    .set({
      state,
      step,
      paused_for: pausedFor ?? null,
      interrupted: interrupted ?? null,
      waits_for: state === 'paused' ? (why ?? null) : null,
      ...(!sameStep && { step_began_at: at }),
      ...(segment !== undefined && { step_segment: segment }),
      ...(segment !== undefined &&
        rollout.first === undefined &&
        stageAt(rollout, step).weight > 0 && { first_segment: segment, first_at: at }),
      ...(edgeMs !== undefined && { edge_ms: edgeMs }),
      ...(errorRate !== undefined && { error_rate: errorRate }),
      ...seenColumns(place),
      changes: rollout.changes + 1,
      updated_at: at,
      next_look_at: ended ? null : at,
      ended_at: ended ? at : null,
    })
    .where('id', '=', rollout.id)
    .where('changes', '=', rollout.changes)
    .executeTakeFirst()
  if (numUpdatedRows !== 1n)
    throw new SlipwayError(
      'SLW_CONFLICT',
      `rollout ${rollout.number} of "${endpoint.name}" has changed meanwhile; look at it, and try again`,
    )
  // Pauses for want of data come and go: what was seen last stands with the rollout.
  const isGap = pausedFor === 'no data' || (sameStep && state !== 'paused')
  await noteTransition(place, { from: rollout.state, state, step, why, evidence: isGap ? undefined : (evidence ?? rollout.evidence) })
}

/** Keeps a transition, and records its event. */
export async function noteTransition(
  { write, scope, endpoint, rollout, at }: Pick<Place, 'write' | 'scope' | 'endpoint' | 'rollout' | 'at'>,
  {
    from,
    state,
    step,
    why,
    evidence,
  }: {
    readonly from: State | undefined
    readonly state: State
    readonly step: number
    readonly why: string | undefined
    readonly evidence: RolloutEvidence | undefined
  },
): Promise<void> {
  const { count } = await write
    .selectFrom('rollout_transitions')
    .select((columns) => columns.fn.countAll().as('count'))
    .where('rollout_id', '=', rollout.id)
    .executeTakeFirstOrThrow()
  await write
    .insertInto('rollout_transitions')
    .values({
      rollout_id: rollout.id,
      number: Number(count) + 1,
      at,
      actor: scope.actor,
      from_state: from ?? null,
      state,
      step,
      weight: weightIn(rollout, state, step),
      reason: why ?? null,
      evidence: evidence === undefined ? null : JSON.stringify(evidence),
    })
    .execute()
  await faultPoint('rollout.noted')
  const name = ({ model, version }: RolloutState['from']): string => `${model}/${version}`
  await record(write, { ...scope, resourceVersion: undefined, ...(why !== undefined && { reason: why }) }, at, {
    kind: 'rollout',
    name: `${endpoint.name}/${rollout.number}`,
    action: from === undefined ? 'created' : 'updated',
    ...(from !== undefined && { before: { state: from, step: rollout.step, weight: weightIn(rollout, from, rollout.step) } }),
    after: {
      rollout: rollout.number,
      endpoint: endpoint.name,
      state,
      step,
      weight: weightIn(rollout, state, step),
      from: name(rollout.from),
      to: name(rollout.to),
      ...(why !== undefined && { reason: why }),
      ...(evidence !== undefined && { verdict: evidence.verdict }),
    },
  })
}

/** Percent of the requests that the new version has in a state. */
export function weightIn(rollout: RolloutState, state: State, step: number): number {
  if (state === 'promoted' || state === 'watching') return 100
  return hasEnded({ state }) || state === 'waiting' || state === 'loading' ? 0 : stageAt(rollout, step).weight
}

/** Percent of the requests that the new version has now. */
export function weightOf(rollout: RolloutState): number {
  const { state, interrupted, step } = rollout
  return weightIn(rollout, state === 'paused' ? (interrupted ?? state) : state, step)
}

/** What was seen, as it is kept; what is missing stays as it is. */
function seenColumns({ evidence, peaks }: Pick<Place, 'evidence' | 'peaks'>) {
  return {
    ...(evidence !== undefined && { evidence: JSON.stringify(evidence), verdict: evidence.verdict }),
    ...(peaks !== undefined && { peaks: JSON.stringify(Object.fromEntries(peaks)) }),
  }
}

/** Keeps what a look saw that changed nothing. */
export async function noteLook(
  write: Write,
  { id, createdAt, changes }: RolloutState,
  seen: {
    readonly at: number
    readonly waitsFor: string | undefined
    readonly evidence: RolloutEvidence | undefined
    readonly peaks: RolloutState['peaks'] | undefined
  },
): Promise<void> {
  const { at, waitsFor } = seen
  await write
    .updateTable('rollouts')
    .set({
      waits_for: waitsFor ?? null,
      ...seenColumns(seen),
      next_look_at: at + Math.min(LOOK_MAX_MS, LOOK_MS + Math.floor((at - createdAt) / 1000)),
    })
    .where('id', '=', id)
    .where('changes', '=', changes)
    .execute()
}
