import { sql } from 'kysely'
import { NAMED_STATUSES } from '../tracking/logged-model-statuses.ts'
import type { RawBuilder } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { SearchKind } from './kinds.ts'

/** A value of a row, as SQL. */
export interface Column {
  readonly expression: RawBuilder<unknown>
  readonly type: 'text' | 'integer' | 'double'
  readonly nullable: boolean
}

/** A table of keys and values that belong to an object. */
export interface Details {
  readonly table: keyof Schema
  /** The column with the id of the object. */
  readonly owner: string
}

/** The tables and columns of one kind of object. */
export interface Tables {
  /** The primary key, which ends every order. */
  readonly id: RawBuilder<unknown>
  /** Columns by the key of the attribute. */
  readonly attributes: Readonly<Record<string, Column>>
  /** Columns to order by, for attributes that are not ordered by themselves: by the first column, then by the next. */
  readonly orders?: Readonly<Record<string, readonly Column[]>>
  readonly tags: Details
  readonly params?: Details
  readonly metrics?: Details
}

function text(reference: string, nullable = false): Column {
  return { expression: sql.ref(reference), type: 'text', nullable }
}

function integer(reference: string, nullable = false): Column {
  return { expression: sql.ref(reference), type: 'integer', nullable }
}

/** Maps the stored status of a logged model to another value. */
function status(of: (name: string, place: number) => string | number): RawBuilder<unknown> {
  const cases = NAMED_STATUSES.map(({ stored, name }, place) => sql`when ${sql.lit(stored)} then ${sql.lit(of(name, place))}`)
  return sql`(case ${sql.ref('logged_models.status')} ${sql.join(cases, sql` `)} end)`
}

/**
 * Queries must select from these tables under their own names; those of versions from `versions` joined with `models`.
 */
export const TABLES: Readonly<Record<SearchKind, Tables>> = {
  runs: {
    id: sql.ref('runs.id'),
    attributes: {
      run_id: text('runs.id'),
      run_name: text('runs.name'),
      user_id: text('runs.user_id'),
      status: text('runs.status'),
      artifact_uri: text('runs.artifact_uri'),
      start_time: integer('runs.start_time', true),
      end_time: integer('runs.end_time', true),
    },
    tags: { table: 'run_tags', owner: 'run_id' },
    params: { table: 'params', owner: 'run_id' },
    metrics: { table: 'latest_metrics', owner: 'run_id' },
  },
  experiments: {
    id: sql.ref('experiments.id'),
    attributes: {
      name: text('experiments.name'),
      experiment_id: text('experiments.id'),
      creation_time: integer('experiments.created_at'),
      last_update_time: integer('experiments.updated_at'),
    },
    // Ids are decimal numbers as text, without leading zeros: the shorter is the smaller.
    orders: {
      experiment_id: [{ expression: sql`length(${sql.ref('experiments.id')})`, type: 'integer', nullable: false }, text('experiments.id')],
    },
    tags: { table: 'experiment_tags', owner: 'experiment_id' },
  },
  models: {
    id: sql.ref('models.id'),
    attributes: {
      name: text('models.name'),
      creation_timestamp: integer('models.created_at'),
      last_updated_timestamp: integer('models.updated_at'),
    },
    tags: { table: 'model_tags', owner: 'model_id' },
  },
  versions: {
    id: sql.ref('versions.id'),
    attributes: {
      name: text('models.name'),
      version_number: integer('versions.number'),
      run_id: text('versions.run_id', true),
      source_path: text('versions.source'),
      creation_timestamp: integer('versions.created_at'),
      last_updated_timestamp: integer('versions.updated_at'),
    },
    tags: { table: 'version_tags', owner: 'version_id' },
  },
  loggedModels: {
    id: sql.ref('logged_models.id'),
    attributes: {
      name: text('logged_models.name'),
      model_id: text('logged_models.id'),
      model_type: text('logged_models.model_type'),
      status: { expression: status((name) => name), type: 'text', nullable: false },
      status_message: text('logged_models.status_message', true),
      source_run_id: text('logged_models.source_run_id'),
      experiment_id: text('logged_models.experiment_id'),
      artifact_location: text('logged_models.artifact_uri'),
      lifecycle_stage: text('logged_models.lifecycle_stage'),
      creation_timestamp: integer('logged_models.created_at'),
      last_updated_timestamp: integer('logged_models.updated_at'),
    },
    orders: { status: [{ expression: status((_, place) => place), type: 'integer', nullable: false }] },
    tags: { table: 'logged_model_tags', owner: 'logged_model_id' },
    params: { table: 'logged_model_params', owner: 'logged_model_id' },
    metrics: { table: 'logged_model_metrics', owner: 'logged_model_id' },
  },
}
