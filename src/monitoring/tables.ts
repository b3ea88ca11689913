import type { Table } from '../storage/sql/schema.ts'

/** The tables of windows, as Kysely sees them; the migrations describe their contents. Times are UTC epoch milliseconds, flags 0 or 1. */
export interface MonitoringTables {
  window_keys: WindowKeysRow
  window_rollups: WindowRollupsRow
  feedback: FeedbackRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends MonitoringTables {}
}

export const MONITORING_TABLES: readonly Table[] = [
  { name: 'window_keys' },
  { name: 'window_rollups' },
  { name: 'feedback', key: ['environment', 'prediction_id'] },
]

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

export interface FeedbackRow {
  environment: string
  /** The id of the prediction, as in logs, traces and records. */
  prediction_id: string
  endpoint: string
  assigned: string
  served: string
  model: string
  version: string
  segment: number
  is_evidence: number
  is_numeric: number
  unit: number | null
  /** JSON, as the labels. */
  predicted: string | null
  predicted_at: number
  first_label: string
  first_at: number
  first_right: number | null
  last_label: string
  last_at: number
  last_right: number | null
  weight: number
  received_at: number
}
