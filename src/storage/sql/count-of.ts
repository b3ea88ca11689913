import type { SelectQueryBuilder } from 'kysely'
import type { Schema } from './schema.ts'

/** Number of rows that a query would find. */
export async function countOf<TB extends keyof Schema, O>(query: SelectQueryBuilder<Schema, TB, O>): Promise<number> {
  const { count } = await query
    .clearSelect()
    .clearOrderBy()
    .select((columns) => columns.fn.countAll<number | string>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}
