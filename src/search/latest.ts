import { sql } from 'kysely'
import { TABLES } from './tables.ts'
import type { RawBuilder, SqlBool } from 'kysely'

/** A data set on which a logged model was measured. */
export interface DatasetFilter {
  readonly name?: string
  readonly digest?: string
}

const OF = (column: string): RawBuilder<unknown> => sql.ref(`detail.${column}`)

/** Condition that a metric was measured on one of these data sets; none without data sets. */
export function onDatasets(datasets: readonly DatasetFilter[]): RawBuilder<SqlBool>[] {
  const each = datasets.map(({ name, digest }) => {
    const conditions = [
      ...(name === undefined ? [] : [sql`${OF('dataset_name')} = ${name}`]),
      ...(digest === undefined ? [] : [sql`${OF('dataset_digest')} = ${digest}`]),
    ]
    return sql`(${sql.join(conditions, sql` and `)})`
  })
  return each.length === 0 ? [] : [sql`(${sql.join(each, sql` or `)})`]
}

/**
 * The latest value of a metric of a logged model among those that meet the conditions, as at most one row of `value` and `is_nan`: that
 * with the highest step, of these the last in time, of these the highest, as in MLflow since 3.18.
 */
export function latestMetric(key: string, conditions: readonly RawBuilder<SqlBool>[]): RawBuilder<unknown> {
  const where = sql.join([sql`${OF('logged_model_id')} = ${TABLES.loggedModels.id}`, sql`${OF('key')} = ${key}`, ...conditions], sql` and `)
  const order = sql`${OF('step')} desc, ${OF('timestamp')} desc, ${OF('is_nan')}, ${OF('value')} desc`
  return sql`(select ${OF('value')}, ${OF('is_nan')} from logged_model_metrics as detail where ${where} order by ${order} limit 1)`
}
