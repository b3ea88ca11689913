import type { Generated } from 'kysely'

/** The tables as Kysely sees them; the migrations say what is in them. Times are UTC epoch milliseconds, flags 0 or 1. */
export interface Schema {
  counters: CountersRow
  contents: ContentsRow
  uploads: UploadsRow
  doomed_objects: DoomedObjectsRow
  holds: HoldsRow
  files: FilesRow
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
  models: ModelsRow
  model_names: ModelNamesRow
  model_tags: ModelTagsRow
  versions: VersionsRow
  version_tags: VersionTagsRow
  aliases: AliasesRow
  endpoints: EndpointsRow
  revisions: RevisionsRow
  endpoint_aliases: EndpointAliasesRow
  revision_versions: RevisionVersionsRow
  routing_states: RoutingStatesRow
  servers: ServersRow
  server_reports: ServerReportsRow
  server_report_changes: ServerReportChangesRow
  window_keys: WindowKeysRow
  window_rollups: WindowRollupsRow
  events: EventsRow
  webhooks: WebhooksRow
  deliveries: DeliveriesRow
  api_keys: ApiKeysRow
  environments: EnvironmentsRow
  people: PeopleRow
  role_bindings: RoleBindingsRow
  sessions: SessionsRow
  logins: LoginsRow
  refusals: RefusalsRow
  leases: LeasesRow
  work_items: WorkItemsRow
  idempotency_keys: IdempotencyKeysRow
  signers: SignersRow
  version_signatures: VersionSignaturesRow
}

export interface CountersRow {
  name: string
  value: number
}

export interface ContentsRow {
  id: string
  size: number
  sha256: string | null
  chunks: string
  object_key: string
  verified: number
  created_at: number
  unreferenced_since: number | null
}

export interface UploadsRow {
  object_key: string
  multipart_id: string | null
  target: string | null
  created_at: number
  expires_at: number
}

export interface DoomedObjectsRow {
  object_key: string
  since: number
}

export interface HoldsRow {
  id: string
  content_id: string
  expires_at: number
}

export interface FilesRow {
  root: string
  path: string
  content_id: string
  size: number
  modified_at: number
}

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

export interface ModelsRow {
  id: string
  environment: string
  name: string
  description: string | null
  protected_aliases: string
  created_at: number
  updated_at: number
  deleted_at: number | null
  policy: Generated<string>
  revision: Generated<number>
}

export interface ModelNamesRow {
  environment: string
  name: string
  last_version: number
}

export interface ModelTagsRow {
  model_id: string
  key: string
  value: string
}

export interface VersionsRow {
  id: string
  model_id: string
  number: number
  description: string | null
  source: string
  run_id: string | null
  run_link: string | null
  logged_model_id: string | null
  stage: string
  status: string
  status_message: string | null
  digest: string | null
  size: number | null
  servable: number
  servable_reason: string | null
  approval: string
  approval_by: string | null
  approval_reason: string | null
  approval_at: number | null
  provenance: string
  signature: string | null
  metrics: string | null
  examples: string | null
  scan: string | null
  created_by: string
  created_at: number
  updated_at: number
  deleted_at: number | null
  revision: Generated<number>
}

export interface VersionTagsRow {
  version_id: string
  key: string
  value: string
}

export interface AliasesRow {
  model_id: string
  alias: string
  version_id: string
  updated_by: string
  updated_at: number
}

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
  salt: string
  segment: number
  updated_at: number
  beside: number | null
}

export interface ServersRow {
  environment: string
  name: string
  boot_id: string
  release: string
  url: string | null
  stale_seconds: number
  clock_skew_ms: number
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

export interface ServerReportChangesRow {
  endpoint_id: string
  server: string
  at: number
  revision: number
  versions: string
}

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

export interface ApiKeysRow {
  id: string
  name: string
  prefix: string
  hash: string
  scopes: string
  environments: string | null
  created_by: string
  created_at: number
  expires_at: number | null
  last_used_at: number | null
  revoked_at: number | null
  person_id: string | null
  models: string | null
}

export interface EnvironmentsRow {
  name: string
  description: string | null
  created_by: string
  created_at: number
}

export interface PeopleRow {
  id: string
  issuer: string
  subject: string
  name: string
  email: string | null
  groups: string
  created_at: number
  last_login_at: number
}

export interface RoleBindingsRow {
  id: string
  subject_kind: string
  subject: string
  role: string
  environment: string | null
  model: string | null
  created_by: string
  created_at: number
}

export interface SessionsRow {
  hash: string
  person_id: string
  csrf: string
  created_at: number
  last_seen_at: number
  expires_at: number
}

export interface LoginsRow {
  hash: string
  secret: string
  created_at: number
  expires_at: number
}

export interface RefusalsRow {
  minute: number
  caller: string
  address: string
  route: string
  environment: string
  code: string
  count: number
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

export interface LeasesRow {
  name: string
  holder: string | null
  token: number
  expires_at: number
}

export interface IdempotencyKeysRow {
  caller: string
  key: string
  request_digest: string
  status: number | null
  answer: string | null
  created_at: number
}

export interface SignersRow {
  id: string
  environment: string
  name: string
  kind: string
  pem: string
  created_by: string
  created_at: number
}

export interface VersionSignaturesRow {
  version_id: string
  signer_id: string
  bundle: string
  created_by: string
  created_at: number
}
