import type { Generated } from 'kysely'
import type { EventKind } from '../ledger/events.ts'
import type { Table } from '../storage/sql/schema.ts'

/**
 * The tables of models and versions, as Kysely sees them; the migrations describe their contents. Times are UTC epoch milliseconds,
 * flags 0 or 1.
 */
export interface ModelsTables {
  models: ModelsRow
  model_names: ModelNamesRow
  model_tags: ModelTagsRow
  versions: VersionsRow
  version_tags: VersionTagsRow
  version_signatures: VersionSignaturesRow
  aliases: AliasesRow
  signers: SignersRow
  gate_results: GateResultsRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends ModelsTables {}
}

declare module '../ledger/events.ts' {
  interface EventKinds {
    model: unknown
    version: unknown
    alias: unknown
    signer: unknown
  }
}

/** Kinds of events about changes of these tables. */
export const MODELS_EVENTS: readonly EventKind[] = ['model', 'version', 'alias', 'signer']

export const MODELS_TABLES: readonly Table[] = [
  { name: 'models', key: ['id'] },
  { name: 'model_names', key: ['environment', 'name'] },
  { name: 'model_tags', key: ['model_id', 'key'] },
  { name: 'versions', key: ['id'] },
  { name: 'version_tags', key: ['version_id', 'key'] },
  { name: 'version_signatures', key: ['version_id', 'signer_id'] },
  { name: 'aliases', key: ['model_id', 'alias'] },
  { name: 'signers', key: ['environment', 'id'] },
  { name: 'gate_results', key: ['version_id', 'gate'] },
]

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
  location: string | null
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

export interface VersionSignaturesRow {
  version_id: string
  signer_id: string
  bundle: string
  created_by: string
  created_at: number
}

export interface AliasesRow {
  model_id: string
  alias: string
  version_id: string
  updated_by: string
  updated_at: number
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

export interface GateResultsRow {
  version_id: string
  gate: string
  measured: string
  asks_approval: number
  report: string
  created_by: string
  created_at: number
}
