import type { Table } from '../storage/sql/schema.ts'

/** The tables of events and webhooks, as Kysely sees them; the migrations define them. Times are UTC epoch milliseconds, flags 0 or 1. */
export interface LedgerTables {
  counters: CountersRow
  events: EventsRow
  webhooks: WebhooksRow
  deliveries: DeliveriesRow
  environments: EnvironmentsRow
  idempotency_keys: IdempotencyKeysRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends LedgerTables {}
}

export const LEDGER_TABLES: readonly Table[] = [
  { name: 'counters', key: ['name'], madeAtStart: true },
  { name: 'events', key: ['sequence'] },
  { name: 'webhooks', key: ['id'] },
  { name: 'deliveries', key: ['id'] },
  { name: 'environments', key: ['name'], madeAtStart: true },
  { name: 'idempotency_keys', key: ['caller', 'key'] },
]

export interface CountersRow {
  name: string
  value: number
}

export interface EventsRow {
  sequence: number
  at: number
  environment: string
  actor: string
  reason: string | null
  action: string
  kind: string
  name: string
  before: string | null
  after: string | null
}

export interface WebhooksRow {
  id: string
  environment: string
  name: string
  url: string
  /** `event`, `slack`, `sns`, `email`. */
  format: string
  description: string | null
  events: string
  secret: string | null
  status: string
  created_at: number
  updated_at: number
}

export interface DeliveriesRow {
  id: string
  webhook_id: string
  sequence: number
  body: string
  state: string
  attempts: number
  next_attempt_at: number
  last_status: number | null
  last_error: string | null
  created_at: number
  delivered_at: number | null
}

export interface EnvironmentsRow {
  name: string
  description: string | null
  created_by: string
  created_at: number
}

export interface IdempotencyKeysRow {
  caller: string
  key: string
  request_digest: string
  attempt: string | null
  /** Of the object that was changed; null while nothing was. */
  kind: string | null
  name: string | null
  status: number | null
  answer: string | null
  headers: string | null
  sealed: number
  created_at: number
}
