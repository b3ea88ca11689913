import type { Table } from './sql/schema.ts'

/** Tables of background work, as Kysely sees them; the migrations document them. Times are UTC epoch milliseconds, flags 0 or 1. */
export interface StorageTables {
  leases: LeasesRow
  work_items: WorkItemsRow
}

declare module './sql/schema.ts' {
  interface Schema extends StorageTables {}
}

export const STORAGE_TABLES: readonly Table[] = [{ name: 'leases' }, { name: 'work_items', key: ['id'], madeAtStart: true }]

export interface LeasesRow {
  name: string
  holder: string | null
  token: number
  expires_at: number
}

export interface WorkItemsRow {
  id: string
  kind: string
  unique_key: string | null
  payload: string
  state: string
  priority: number
  claim_at: number | null
  deadline_at: number | null
  attempts: number
  attempts_max: number
  token: number
  holder: string | null
  reserved_for: string | null
  progress: string | null
  result: string | null
  error: string | null
  schedule: string | null
  created_at: number
  started_at: number | null
  ended_at: number | null
}
