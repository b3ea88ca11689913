import { sql } from 'kysely'
import type { RawBuilder, SelectQueryBuilder, SqlBool } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import { compared } from './compare.ts'
import type { Dialect } from './compare.ts'
import { refused } from './kinds.ts'
import type { Clause, SearchKind } from './kinds.ts'
import { NAMED_STATUSES } from '../tracking/logged-model-statuses.ts'
import { latestMetric, onDatasets } from './latest.ts'
import { TABLES } from './tables.ts'
import type { DatasetFilter } from './latest.ts'
import type { Column, Details } from './tables.ts'

/** Tag of prompts, which MLflow keeps among the models; searches that do not ask for prompts find none. */
const PROMPT_TAG = 'mlflow.prompt.is_prompt'
const CONTEXT_TAG = 'mlflow.data.context'

export interface Filter {
  readonly kind: SearchKind
  readonly clauses: readonly Clause[]
  readonly dialect: Dialect
  /**
   * For logged models: comparisons of metrics look only at metrics measured on one of these data sets; without such a comparison, at least
   * one metric must have been measured on one. Default: any data set or none.
   */
  readonly datasets?: readonly DatasetFilter[]
  /** Whether the query itself leaves few objects, such as the runs of an experiment: details are then read for each. Default: no. */
  readonly few?: boolean
}

/**
 * Adds conditions to a query from the tables of the kind (`TABLES` says under which names), so that all clauses hold.
 *
 * A comparison with a metric, parameter or tag that an object does not have is false, `!=` too, as in MLflow; only the tag
 * `mlflow.prompt.is_prompt` of models and versions counts as not set to `true` when it is missing. NaN is unequal to every number, and
 * neither more nor less.
 */
export function filterQuery<TB extends keyof Schema, O>(
  query: SelectQueryBuilder<Schema, TB, O>,
  filter: Filter,
): SelectQueryBuilder<Schema, TB, O> {
  let narrowed = query
  for (const each of conditionsOf(filter)) narrowed = narrowed.where(each)
  return narrowed
}

function conditionsOf(filter: Filter): readonly RawBuilder<SqlBool>[] {
  const { kind, clauses, datasets = [] } = filter
  if ((kind === 'models' || kind === 'versions') && !asksForPrompts(clauses))
    return [isNoPrompt(kind), ...clauses.filter((clause) => !isOfPrompts(clause)).map((clause) => condition(clause, filter))]
  const conditions = clauses.map((clause) => condition(clause, filter))
  if (kind === 'loggedModels' && datasets.length > 0 && !clauses.some(({ subject }) => subject === 'metric'))
    conditions.push(detail(filter, TABLES.loggedModels.metrics!, onDatasets(datasets)))
  return conditions
}

function condition(clause: Clause, filter: Filter): RawBuilder<SqlBool> {
  const { attributes, tags, params, metrics } = TABLES[filter.kind]
  const { subject, key } = clause
  const attribute = subject === 'attribute' ? attributes[key] : undefined
  if (filter.kind === 'loggedModels' && subject === 'attribute' && key === 'status') return ofStatus(clause, filter)
  if (attribute !== undefined) return compared(attribute, clause, filter.dialect)
  if (subject === 'tag') return ofText(clause, filter, tags)
  if (subject === 'param' && params !== undefined) return ofText(clause, filter, params)
  if (subject === 'metric' && metrics !== undefined) return ofMetric(clause, filter, metrics)
  if (subject === 'dataset' && filter.kind === 'runs') return ofDataset(clause, filter)
  throw refused(`Invalid clause in filter: ${filter.kind} have no ${subject} '${key}'`)
}

/** Some clients say READY, others LOGGED_MODEL_READY: either name matches a status, and a pattern is compared with both. */
function ofStatus(clause: Clause, { dialect }: Filter): RawBuilder<SqlBool> {
  const { operator, value } = clause
  const stored: Column = { expression: sql.ref('logged_models.status'), type: 'text', nullable: false }
  if (operator.endsWith('LIKE')) {
    const named = compared(TABLES.loggedModels.attributes['status']!, clause, dialect)
    return sql`(${named} or ${compared(stored, clause, dialect)})`
  }
  const storedName = (text: string): string => {
    const found = NAMED_STATUSES.find(({ stored: long, name }) => long === text || name === text)
    if (found !== undefined) return found.stored
    const known = NAMED_STATUSES.map(({ name }) => name).join(', ')
    throw refused(`Unknown model status in filter: '${text}'. Valid values are ${known}`)
  }
  return compared(stored, { operator, value: Array.isArray(value) ? value.map(storedName) : storedName(String(value)) }, dialect)
}

const KEY = sql.ref('detail.key')
const VALUE: Column = { expression: sql.ref('detail.value'), type: 'text', nullable: false }
const NUMBER: Column = { ...VALUE, type: 'double' }
const IS_NAN = sql.ref('detail.is_nan')

/** Whether the object has a row in the table that meets all conditions. */
function detail({ kind, few = false }: Filter, { table, owner }: Details, conditions: readonly RawBuilder<SqlBool>[]): RawBuilder<SqlBool> {
  const rows = sql`from ${sql.table(table)} as detail where ${sql.join(conditions, sql` and `)}`
  const of = sql.ref(`detail.${owner}`)
  const { id } = TABLES[kind]
  // One query for each of few objects, or one for all: SQLite runs it as written.
  return few ? sql`exists (select 1 ${rows} and ${of} = ${id})` : sql`${id} in (select ${of} ${rows})`
}

function ofText(clause: Clause, filter: Filter, table: Details): RawBuilder<SqlBool> {
  const hasKey = sql<SqlBool>`${KEY} = ${clause.key}`
  if (clause.operator === 'IS NULL') return sql`not ${detail(filter, table, [hasKey])}`
  if (clause.operator === 'IS NOT NULL') return detail(filter, table, [hasKey])
  return detail(filter, table, [hasKey, compared(VALUE, clause, filter.dialect)])
}

function ofMetric(clause: Clause, filter: Filter, table: Details): RawBuilder<SqlBool> {
  const number = compared(NUMBER, clause, filter.dialect)
  const holds = clause.operator === '!=' ? sql<SqlBool>`(${number} or ${IS_NAN} = 1)` : sql<SqlBool>`(${number} and ${IS_NAN} = 0)`
  if (filter.kind !== 'loggedModels') return detail(filter, table, [sql`${KEY} = ${clause.key}`, holds])
  return sql`exists (select 1 from ${latestMetric(clause.key, onDatasets(filter.datasets ?? []))} as detail where ${holds})`
}

/** The context is one of the tags that an input has, which are a JSON list of {key, value}. */
function ofDataset(clause: Clause, { dialect }: Filter): RawBuilder<SqlBool> {
  const ofRun = sql`select 1 from run_datasets as input where ${sql.ref('input.run_id')} = ${TABLES.runs.id} and`
  if (clause.key !== 'context') {
    const holds = compared({ expression: sql.ref(`dataset.${clause.key}`), type: 'text', nullable: false }, clause, dialect)
    return sql`exists (${ofRun} exists (select 1 from datasets as dataset where dataset.id = input.dataset_id and ${holds}))`
  }
  const field = (name: 'key' | 'value'): RawBuilder<unknown> =>
    dialect === 'sqlite' ? sql`json_extract(entry.value, ${sql.lit(`$.${name}`)})` : sql`(entry.value ->> ${sql.lit(name)})`
  const tags =
    dialect === 'sqlite' ? sql`json_each(input.tags) as entry` : sql`json_array_elements(cast(input.tags as json)) as entry(value)`
  const holds = compared({ expression: field('value'), type: 'text', nullable: false }, clause, dialect)
  return sql`exists (${ofRun} exists (select 1 from ${tags} where ${field('key')} = ${CONTEXT_TAG} and ${holds}))`
}

function isOfPrompts({ subject, key }: Clause): boolean {
  return subject === 'tag' && key === PROMPT_TAG
}

/** Whether prompts are wanted: only if the first clause about their tag is `= 'true'` or `!= 'false'`. */
function asksForPrompts(clauses: readonly Clause[]): boolean {
  const first = clauses.find(isOfPrompts)
  const value = String(first?.value).toLowerCase()
  return (first?.operator === '=' && value === 'true') || (first?.operator === '!=' && value === 'false')
}

/** A version belongs to a prompt when any version of its model has the tag. */
function isNoPrompt(kind: 'models' | 'versions'): RawBuilder<SqlBool> {
  const tagged = sql`${KEY} = ${PROMPT_TAG} and ${VALUE.expression} = 'true'`
  if (kind === 'models')
    return sql`not exists (select 1 from model_tags as detail where detail.model_id = ${TABLES.models.id} and ${tagged})`
  // One subquery for all, by model: prompts are few, versions may be many.
  return sql`${TABLES.models.id} not in (select sibling.model_id from version_tags as detail
    join versions as sibling on sibling.id = detail.version_id where ${tagged})`
}
