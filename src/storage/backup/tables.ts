import type { Schema } from '../sql/schema.ts'

/** A table, and the columns by which its rows are told apart. */
export interface BackedUpTable {
  readonly name: keyof Schema
  readonly key: readonly string[]
}

/**
 * What is kept of a database, in an order in which each row finds what it refers to. What only matters to processes that run (leases,
 * uploads that go on, what is being read, what is about to be deleted) is not.
 */
export const BACKED_UP: readonly BackedUpTable[] = [
  { name: 'counters', key: ['name'] },
  { name: 'contents', key: ['id'] },
  { name: 'files', key: ['root', 'path'] },
  { name: 'experiments', key: ['id'] },
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
  { name: 'models', key: ['id'] },
  { name: 'model_names', key: ['environment', 'name'] },
  { name: 'model_tags', key: ['model_id', 'key'] },
  { name: 'versions', key: ['id'] },
  { name: 'version_tags', key: ['version_id', 'key'] },
  { name: 'version_signatures', key: ['version_id', 'signer_id'] },
  { name: 'aliases', key: ['model_id', 'alias'] },
  { name: 'endpoints', key: ['id'] },
  { name: 'revisions', key: ['endpoint_id', 'number'] },
  { name: 'endpoint_aliases', key: ['endpoint_id', 'model', 'alias'] },
  { name: 'revision_versions', key: ['endpoint_id', 'number', 'variant'] },
  { name: 'routing_states', key: ['endpoint_id'] },
  { name: 'server_report_changes', key: ['endpoint_id', 'server', 'at'] },
  { name: 'events', key: ['sequence'] },
  { name: 'webhooks', key: ['id'] },
  { name: 'deliveries', key: ['id'] },
  { name: 'environments', key: ['name'] },
  { name: 'people', key: ['id'] },
  { name: 'role_bindings', key: ['id'] },
  { name: 'refusals', key: ['minute', 'caller', 'address', 'route', 'environment', 'code'] },
  { name: 'api_keys', key: ['id'] },
  { name: 'idempotency_keys', key: ['caller', 'key'] },
  { name: 'signers', key: ['environment', 'id'] },
  { name: 'work_items', key: ['id'] },
]

/** Tables whose rows end with the processes that made them, and what servers saw, which has a database of its own. */
export const NOT_BACKED_UP: readonly (keyof Schema)[] = [
  'uploads',
  'doomed_objects',
  'holds',
  'leases',
  'sessions',
  'logins',
  'servers',
  'server_reports',
  'window_keys',
  'window_rollups',
]
