import type { EventKind } from '../ledger/events.ts'
import type { Table } from '../storage/sql/schema.ts'

/**
 * The tables of experiments and runs, as Kysely sees them; the migrations describe their contents. Times are UTC epoch milliseconds,
 * flags 0 or 1.
 */
export interface TrackingTables {
  experiments: ExperimentsRow
  experiment_tags: ExperimentTagsRow
  runs: RunsRow
  run_tags: RunTagsRow
  params: ParamsRow
  metrics: MetricsRow
  latest_metrics: LatestMetricsRow
  datasets: DatasetsRow
  run_datasets: RunDatasetsRow
  run_models: RunModelsRow
  logged_models: LoggedModelsRow
  logged_model_tags: LoggedModelTagsRow
  logged_model_params: LoggedModelParamsRow
  logged_model_metrics: LoggedModelMetricsRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends TrackingTables {}
}

declare module '../ledger/events.ts' {
  interface EventKinds {
    experiment: unknown
    run: unknown
    logged_model: unknown
  }
}

/** Kinds of events about changes of these tables. */
export const TRACKING_EVENTS: readonly EventKind[] = ['experiment', 'run', 'logged_model']

export const TRACKING_TABLES: readonly Table[] = [
  { name: 'experiments', key: ['id'], madeAtStart: true },
  { name: 'experiment_tags', key: ['experiment_id', 'key'] },
  { name: 'runs', key: ['id'] },
  { name: 'run_tags', key: ['run_id', 'key'] },
  { name: 'params', key: ['run_id', 'key'] },
  { name: 'metrics', key: ['run_id', 'key', 'step', 'timestamp', 'value', 'is_nan'] },
  { name: 'latest_metrics', key: ['run_id', 'key'] },
  { name: 'datasets', key: ['id'] },
  { name: 'run_datasets', key: ['run_id', 'dataset_id'] },
  { name: 'run_models', key: ['run_id', 'direction', 'logged_model_id'] },
  { name: 'logged_models', key: ['id'] },
  { name: 'logged_model_tags', key: ['logged_model_id', 'key'] },
  { name: 'logged_model_params', key: ['logged_model_id', 'key'] },
  { name: 'logged_model_metrics', key: ['logged_model_id', 'key', 'run_id', 'step', 'timestamp', 'dataset_name', 'dataset_digest'] },
]

export interface ExperimentsRow {
  id: string
  environment: string
  name: string
  artifact_location: string
  lifecycle_stage: string
  created_at: number
  updated_at: number
  deleted_at: number | null
}

export interface ExperimentTagsRow {
  experiment_id: string
  key: string
  value: string
}

export interface RunsRow {
  id: string
  experiment_id: string
  name: string
  user_id: string
  status: string
  start_time: number | null
  end_time: number | null
  artifact_uri: string
  lifecycle_stage: string
  deleted_at: number | null
}

export interface RunTagsRow {
  run_id: string
  key: string
  value: string
}

export interface ParamsRow {
  run_id: string
  key: string
  value: string
}

export interface MetricsRow {
  run_id: string
  key: string
  timestamp: number
  step: number
  value: number
  is_nan: number
}

export interface LatestMetricsRow {
  run_id: string
  key: string
  timestamp: number
  step: number
  value: number
  is_nan: number
}

export interface DatasetsRow {
  id: string
  experiment_id: string
  name: string
  digest: string
  source_type: string
  source: string
  schema: string | null
  profile: string | null
}

export interface RunDatasetsRow {
  run_id: string
  dataset_id: string
  position: number
  tags: string
}

export interface RunModelsRow {
  run_id: string
  logged_model_id: string
  direction: string
  step: number
  position: number
}

export interface LoggedModelsRow {
  id: string
  experiment_id: string
  name: string
  model_type: string
  status: string
  status_message: string | null
  source_run_id: string
  artifact_uri: string
  lifecycle_stage: string
  created_at: number
  updated_at: number
  deleted_at: number | null
}

export interface LoggedModelTagsRow {
  logged_model_id: string
  key: string
  value: string
}

export interface LoggedModelParamsRow {
  logged_model_id: string
  key: string
  value: string
}

export interface LoggedModelMetricsRow {
  logged_model_id: string
  key: string
  timestamp: number
  step: number
  value: number
  is_nan: number
  run_id: string
  dataset_name: string
  dataset_digest: string
}
