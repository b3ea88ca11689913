import type { Table } from '../storage/sql/schema.ts'
import type { EventKind } from '../ledger/events.ts'

/** The tables of rollouts, as Kysely sees them; the migrations describe their contents. Times are UTC epoch milliseconds. */
export interface RolloutTables {
  rollouts: RolloutsRow
  rollout_transitions: RolloutTransitionsRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends RolloutTables {}
}

declare module '../ledger/events.ts' {
  interface EventKinds {
    rollout: unknown
  }
}

export const ROLLOUT_EVENTS: readonly EventKind[] = ['rollout']

export const ROLLOUT_TABLES: readonly Table[] = [
  { name: 'rollouts', key: ['id'] },
  { name: 'rollout_transitions', key: ['rollout_id', 'number'] },
]

export interface RolloutsRow {
  id: string
  endpoint_id: string
  /** Counted by endpoint, from 1. */
  number: number
  from_revision: number
  to_revision: number
  /** JSON: model and version by which evidence is found. */
  from_version: string
  to_version: string
  /** JSON. */
  strategy: string
  state: string
  paused_for: string | null
  /** The state that a pause interrupted. */
  interrupted: string | null
  /** Index of the present step; -1 before the first, the number of steps once all requests go to the new version. */
  step: number
  step_began_at: number
  /** Number of the routing with which the step began. */
  step_segment: number | null
  /** Number of the routing of the first step that had a share, and when it began. */
  first_segment: number | null
  first_at: number | null
  waits_for: string | null
  /** JSON: weights, shadows and edges before it began. */
  routing_before: string
  /** Latency edge that was frozen, milliseconds. */
  edge_ms: number | null
  /** Share of requests that went wrong before it began, 0 to 1. */
  error_rate: number | null
  /** Evidence from here on counts. */
  evidence_from: number
  /** JSON: the most that was shown by metric. */
  peaks: string
  /** JSON: what the latest look saw. */
  evidence: string | null
  verdict: string | null
  /** JSON: the alias that moves with it. */
  on_promoted: string | null
  actor: string
  reason: string | null
  /** Grows with each change. */
  changes: number
  /** Time of the next look; null once it has ended. */
  next_look_at: number | null
  created_at: number
  updated_at: number
  ended_at: number | null
}

export interface RolloutTransitionsRow {
  rollout_id: string
  number: number
  at: number
  actor: string
  from_state: string | null
  state: string
  step: number
  weight: number
  reason: string | null
  /** JSON: what was seen. */
  evidence: string | null
}
