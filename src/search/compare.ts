import { sql } from 'kysely'
import type { RawBuilder, SqlBool } from 'kysely'
import type { Database } from '../storage/sql/database.ts'
import type { Clause } from './kinds.ts'
import type { Column } from './tables.ts'

export type Dialect = Database['dialect']

/**
 * One comparison with a value of a row. As in SQL, null matches nothing, except that a null text counts as an empty one: MLflow's server
 * stores texts that its clients leave out (the run of a version) as empty.
 */
export function compared(
  { expression, type, nullable }: Column,
  { operator, value }: Pick<Clause, 'operator' | 'value'>,
  dialect: Dialect,
): RawBuilder<SqlBool> {
  if (type !== 'text') return sql`${expression} ${sql.raw(operator)} ${numeric(Number(value), type)}`
  // Without coalesce, an index can find exact matches.
  const isExact = (operator === '=' && value !== '') || (operator === 'IN' && !(value as readonly string[]).includes(''))
  const found = nullable && !isExact ? sql`coalesce(${expression}, '')` : expression
  if (Array.isArray(value)) return sql`${found} ${sql.raw(operator)} (${sql.join(value)})`
  if (operator === 'LIKE') return like(found, String(value), dialect)
  if (operator === 'ILIKE') return ilike(found, String(value), dialect)
  return sql`${found} ${sql.raw(operator)} ${value}`
}

/** PostgreSQL gives a parameter the type of the column that it is compared with, and a 64-bit integer cannot be 1.5 or 1e30. */
function numeric(value: number, type: 'integer' | 'double'): RawBuilder<unknown> {
  return type === 'integer' && !Number.isSafeInteger(value) ? sql`cast(${value} as double precision)` : sql`${value}`
}

/**
 * Case-sensitive LIKE with `%` and `_`, which cannot be escaped. SQLite's own LIKE ignores case, so GLOB takes its place there, in which
 * `*`, `?` and `[` have a meaning of their own and are put in brackets.
 */
function like(text: RawBuilder<unknown>, pattern: string, dialect: Dialect): RawBuilder<SqlBool> {
  if (dialect === 'postgres') return sql`${text} like ${pattern} escape ''`
  const glob = pattern.replaceAll(/[*?[]/g, '[$&]').replaceAll('%', '*').replaceAll('_', '?')
  return sql`${text} glob ${glob}`
}

/** Case-insensitive LIKE; beyond ASCII, SQLite is case-sensitive. Its LIKE has no escape character unless one is given. */
function ilike(text: RawBuilder<unknown>, pattern: string, dialect: Dialect): RawBuilder<SqlBool> {
  return dialect === 'postgres' ? sql`${text} ilike ${pattern} escape ''` : sql`lower(${text}) like lower(${pattern})`
}
