import type { EventKind } from '../ledger/events.ts'
import type { Table } from '../storage/sql/schema.ts'

/** The tables of records, as Kysely sees them; the migrations describe their contents. Times are UTC epoch milliseconds. */
export interface RecordTables {
  record_keys: RecordKeysRow
  record_batches: RecordBatchesRow
  record_partitions: RecordPartitionsRow
  record_leftovers: RecordLeftoversRow
  record_forgotten: RecordForgottenRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends RecordTables {}
}

declare module '../ledger/events.ts' {
  interface EventKinds {
    records: unknown
  }
}

export const RECORD_EVENTS: readonly EventKind[] = ['records']

/** Records are in no backup, which would bring back what was forgotten; what was forgotten is. */
export const RECORD_TABLES: readonly Table[] = [
  { name: 'record_keys' },
  { name: 'record_batches' },
  { name: 'record_partitions' },
  { name: 'record_leftovers' },
  { name: 'record_forgotten', key: ['environment', 'unit_hash'] },
]

export interface RecordKeysRow {
  environment: string
  boot_id: string
  sequence: number
  received_at: number
}

/** The records of one endpoint in a file that arrived: `byte_count` bytes of an object, from `first_byte` on. */
export interface RecordBatchesRow {
  environment: string
  boot_id: string
  sequence: number
  endpoint: string
  object_key: string
  first_byte: number
  byte_count: number
  row_count: number
  from_ms: number
  until_ms: number
  received_at: number
}

export interface RecordPartitionsRow {
  id: string
  environment: string
  endpoint: string
  hour_ms: number
  object_key: string
  content_id: string
  /** Digests of its chunks, JSON. */
  chunks: string
  byte_count: number
  row_count: number
  from_ms: number
  until_ms: number
  created_at: number
}

/** An object that no row refers to any more, since when. */
export interface RecordLeftoversRow {
  object_key: string
  since: number
}

/** A unit whose records up to a time are not to be kept, by the digest of its name. */
export interface RecordForgottenRow {
  environment: string
  unit_hash: string
  until_ms: number
  asked_at: number
}
