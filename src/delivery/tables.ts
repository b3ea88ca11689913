import type { Generated } from 'kysely'
import type { EventKind } from '../ledger/events.ts'
import type { Table } from '../storage/sql/schema.ts'

/**
 * The tables of endpoints and the servers that follow them, as Kysely sees them; the migrations describe their contents. Times are UTC
 * epoch milliseconds, flags 0 or 1.
 */
export interface DeliveryTables {
  identities: IdentitiesRow
  endpoints: EndpointsRow
  revisions: RevisionsRow
  endpoint_aliases: EndpointAliasesRow
  revision_versions: RevisionVersionsRow
  routing_states: RoutingStatesRow
  routing_segments: RoutingSegmentsRow
  receipt_keys: ReceiptKeysRow
  server_report_changes: ServerReportChangesRow
  servers: ServersRow
  speakers: SpeakersRow
  server_reports: ServerReportsRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends DeliveryTables {}
}

declare module '../ledger/events.ts' {
  interface EventKinds {
    endpoint: unknown
    server: unknown
  }
}

/** Kinds of events about changes of these tables. */
export const DELIVERY_EVENTS: readonly EventKind[] = ['endpoint', 'server']

export const DELIVERY_TABLES: readonly Table[] = [
  { name: 'identities', key: ['id'], madeAtStart: true },
  { name: 'endpoints', key: ['id'] },
  { name: 'revisions', key: ['endpoint_id', 'number'] },
  { name: 'endpoint_aliases', key: ['endpoint_id', 'model', 'alias'] },
  { name: 'revision_versions', key: ['endpoint_id', 'number', 'variant'] },
  { name: 'routing_states', key: ['endpoint_id'] },
  { name: 'routing_segments', key: ['endpoint_id', 'segment'] },
  { name: 'receipt_keys', key: ['endpoint_id', 'id'] },
  { name: 'server_report_changes', key: ['endpoint_id', 'server', 'at'] },
  { name: 'servers' },
  { name: 'speakers' },
  { name: 'server_reports' },
]

export interface EndpointsRow {
  id: string
  environment: string
  name: string
  labels: string
  spec: string
  generation: number
  managed_by: string | null
  created_at: number
  updated_at: number
  deleted_at: number | null
  current_revision: Generated<number>
  resource_version: Generated<number>
  suspended: string | null
  held_back: string | null
  next_follow_at: number | null
}

export interface RevisionsRow {
  endpoint_id: string
  number: number
  spec: string
  resolved: string
  created_by: string
  reason: string | null
  created_at: number
  cause: Generated<string>
  generation: Generated<number>
  rolled_back_to: number | null
}

export interface EndpointAliasesRow {
  endpoint_id: string
  model: string
  alias: string
}

export interface RevisionVersionsRow {
  endpoint_id: string
  number: number
  variant: string
  version_id: string
}

export interface RoutingStatesRow {
  endpoint_id: string
  revision: number
  weights: string
  /** JSON; null from before there were ranges. */
  ranges: string | null
  salt: string
  segment: number
  updated_at: number
  beside: number | null
  /** JSON; null: none. */
  shadows: string | null
  /** JSON; null: none. */
  edges: string | null
  /** JSON: audiences by variant, of those that their revisions do not declare; null: none. */
  audiences: string | null
  /** Whether a fresh copy of the revision in force is served, too. */
  baseline: Generated<number>
  /** Milliseconds without news after which servers go back; null: they hold. */
  lost_after: number | null
}

export interface RoutingSegmentsRow {
  endpoint_id: string
  segment: number
  weights: string
  /** JSON; empty from before there were ranges. */
  ranges: string
  /** JSON: model and version by variant. */
  versions: string
  began_at: number
}

export interface ReceiptKeysRow {
  endpoint_id: string
  id: string
  secret: string
  created_at: number
}

export interface ServerReportChangesRow {
  endpoint_id: string
  server: string
  at: number
  revision: number
  versions: string
}

export interface ServersRow {
  environment: string
  name: string
  boot_id: string
  release: string
  url: string | null
  stale_seconds: number
  clock_skew_ms: number
  follows: string | null
  message: string | null
  key_id: string | null
  first_seen_at: number
  last_seen_at: number
  expires_at: number
}

export interface ServerReportsRow {
  environment: string
  server: string
  endpoint_id: string
  revision: number
  versions: string
  reported_at: number
  expires_at: number
  segment: number | null
}

export interface IdentitiesRow {
  id: string
  is_current: number
  created_at: number
  /** Since when servers that followed this one follow the current one. */
  adopted_at: number | null
}

export interface SpeakersRow {
  environment: string
  server: string
  key_id: string
  key_name: string
  joined_by: string | null
  held_until: number
}
