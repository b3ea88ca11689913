import type { Table } from '../storage/sql/schema.ts'

/** The tables of windows, as Kysely sees them; the migrations describe their contents. Times are UTC epoch milliseconds, flags 0 or 1. */
export interface MonitoringTables {
  window_keys: WindowKeysRow
  window_rollups: WindowRollupsRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends MonitoringTables {}
}

export const MONITORING_TABLES: readonly Table[] = [{ name: 'window_keys' }, { name: 'window_rollups' }]

export interface WindowKeysRow {
  environment: string
  source: string
  server: string
  boot_id: string
  sequence: number
  subject: string
  received_at: number
}

export interface WindowRollupsRow {
  environment: string
  span_ms: number
  start_ms: number
  endpoint: string
  variant: string
  model: string
  version: string
  segment: number
  source: string
  statistics: string
}
