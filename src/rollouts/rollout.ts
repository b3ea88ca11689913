import { jsonOf } from '../storage/sql/json-of.ts'
import type { Kysely, Selectable } from 'kysely'
import type { ENDS, PAUSES, RolloutEvidence, STATES } from '../contract/rollout-api.ts'
import type { ResolvedRollout, Stage } from '../contract/rollout.ts'
import type { Peaks } from '../judge/judgement.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { RolloutsRow } from './tables.ts'

export type State = (typeof STATES)[number]
export type End = (typeof ENDS)[number]
export type PausedFor = (typeof PAUSES)[number]

/** A version of a model, as evidence names it. */
export interface OfModel {
  readonly model: string
  readonly version: string
}

/** Shares of an endpoint before a rollout began, which it goes back to. */
export interface RoutingBefore {
  readonly weights: Readonly<Record<string, number>>
  readonly shadows: Readonly<Record<string, number>>
  readonly edges: readonly number[]
}

/** The alias that moves to the version once it is promoted. */
export interface OnPromoted {
  readonly model: string
  readonly alias: string
  /** Whether who started it may move protected aliases. */
  readonly protect: boolean
  /** The version that the alias pointed to before it moved. */
  readonly before?: string | undefined
}

/** A walk from one revision to the next, as it is kept. Times are UTC epoch milliseconds. */
export interface RolloutState {
  readonly id: string
  readonly endpointId: string
  readonly number: number
  readonly from: OfModel & { readonly revision: number }
  readonly to: OfModel & { readonly revision: number }
  readonly strategy: ResolvedRollout
  readonly state: State
  readonly pausedFor: PausedFor | undefined
  readonly interrupted: State | undefined
  readonly step: number
  readonly stepBeganAt: number
  readonly stepSegment: number | undefined
  readonly first: { readonly segment: number; readonly at: number } | undefined
  readonly waitsFor: string | undefined
  readonly before: RoutingBefore
  readonly edgeMs: number | undefined
  /** Share of requests that went wrong before it began, 0 to 1. */
  readonly errorRate: number | undefined
  readonly evidenceFrom: number
  readonly peaks: ReadonlyMap<string, Peaks>
  readonly evidence: RolloutEvidence | undefined
  readonly verdict: string | undefined
  readonly onPromoted: OnPromoted | undefined
  readonly actor: string
  readonly reason: string | undefined
  readonly changes: number
  readonly createdAt: number
  readonly updatedAt: number
  readonly endedAt: number | undefined
}

/** The step whose shares apply once all steps are done: all requests, with the version before still loaded. */
export function stageAt({ strategy: { stages } }: Pick<RolloutState, 'strategy'>, step: number): Pick<Stage, 'weight' | 'shadow'> {
  if (step < 0) return { weight: 0, shadow: 0 }
  return stages[step] ?? { weight: 100, shadow: 0 }
}

export function toRollout(row: Selectable<RolloutsRow>): RolloutState {
  return {
    id: row.id,
    endpointId: row.endpoint_id,
    number: row.number,
    from: { revision: row.from_revision, ...(JSON.parse(row.from_version) as OfModel) },
    to: { revision: row.to_revision, ...(JSON.parse(row.to_version) as OfModel) },
    strategy: JSON.parse(row.strategy) as ResolvedRollout,
    state: row.state as State,
    pausedFor: (row.paused_for ?? undefined) as PausedFor | undefined,
    interrupted: (row.interrupted ?? undefined) as State | undefined,
    step: row.step,
    stepBeganAt: row.step_began_at,
    stepSegment: row.step_segment ?? undefined,
    first: row.first_segment === null || row.first_at === null ? undefined : { segment: row.first_segment, at: row.first_at },
    waitsFor: row.waits_for ?? undefined,
    before: JSON.parse(row.routing_before) as RoutingBefore,
    edgeMs: row.edge_ms ?? undefined,
    errorRate: row.error_rate ?? undefined,
    evidenceFrom: row.evidence_from,
    peaks: new Map(Object.entries(JSON.parse(row.peaks) as Record<string, Peaks>)),
    evidence: jsonOf<RolloutEvidence>(row.evidence),
    verdict: row.verdict ?? undefined,
    onPromoted: jsonOf<OnPromoted>(row.on_promoted),
    actor: row.actor,
    reason: row.reason ?? undefined,
    changes: row.changes,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    endedAt: row.ended_at ?? undefined,
  }
}

/** The rollout of an endpoint that has not ended. */
export async function activeOf(read: Kysely<Schema>, endpointId: string): Promise<RolloutState | undefined> {
  const row = await read
    .selectFrom('rollouts')
    .selectAll()
    .where('endpoint_id', '=', endpointId)
    .where('next_look_at', 'is not', null)
    .executeTakeFirst()
  return row === undefined ? undefined : toRollout(row)
}

/** Rollouts of an endpoint, the latest first. */
export async function rolloutsOf(read: Kysely<Schema>, endpointId: string, limit: number, before?: number): Promise<RolloutState[]> {
  const rows = await read
    .selectFrom('rollouts')
    .selectAll()
    .where('endpoint_id', '=', endpointId)
    .$if(before !== undefined, (some) => some.where('number', '<', before!))
    .orderBy('number', 'desc')
    .limit(limit)
    .execute()
  return rows.map(toRollout)
}

/** First segments with a share of all walks of an endpoint, and when they began, UTC epoch milliseconds. */
export async function firstsOf(read: Kysely<Schema>, endpointId: string): Promise<{ readonly segment: number; readonly at: number }[]> {
  const rows = await read
    .selectFrom('rollouts')
    .select(['first_segment', 'first_at'])
    .where('endpoint_id', '=', endpointId)
    .where('first_segment', 'is not', null)
    .execute()
  return rows.map(({ first_segment: segment, first_at: at }) => ({ segment: segment!, at: at! }))
}
