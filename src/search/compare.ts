import { sql } from 'kysely'
import type { RawBuilder, SqlBool } from 'kysely'
import type { Database } from '../storage/sql/database.ts'
import type { Clause } from './kinds.ts'
import type { Column } from './tables.ts'

export type Dialect = Database['dialect']

/**
 * One comparison with a value of a row. The value of a null is compared as SQL does it, which is to say that it is not found, save that
 * a text which is null is an empty one: so MLflow's server stores what its clients leave out (the run of a version).
 */
export function compared(
  { expression, type, nullable }: Column,
  { operator, value }: Pick<Clause, 'operator' | 'value'>,
  dialect: Dialect,
): RawBuilder<SqlBool> {
  if (type !== 'text') return sql`${expression} ${sql.raw(operator)} ${numeric(Number(value), type)}`
  // Not for what an index can find.
  const isExact = (operator === '=' && value !== '') || (operator === 'IN' && !(value as readonly string[]).includes(''))
  const found = nullable && !isExact ? sql`coalesce(${expression}, '')` : expression
  if (Array.isArray(value)) return sql`${found} ${sql.raw(operator)} (${sql.join(value)})`
  if (operator === 'LIKE') return like(found, String(value), dialect)
  if (operator === 'ILIKE') return ilike(found, String(value), dialect)
  return sql`${found} ${sql.raw(operator)} ${value}`
}

/** PostgreSQL gives a parameter the type of what it is compared with, and a whole number of 64 bits cannot be 1.5 or 1e30. */
function numeric(value: number, type: 'integer' | 'double'): RawBuilder<unknown> {
  return type === 'integer' && !Number.isSafeInteger(value) ? sql`cast(${value} as double precision)` : sql`${value}`
}

/**
 * LIKE with `%` and `_` and no way to escape them, upper and lower case being different letters. SQLite's own LIKE knows no case, so there it
 * becomes GLOB, in which `*`, `?` and `[` have a meaning of their own and are put in brackets.
 */
function like(text: RawBuilder<unknown>, pattern: string, dialect: Dialect): RawBuilder<SqlBool> {
  if (dialect === 'postgres') return sql`${text} like ${pattern} escape ''`
  const glob = pattern.replaceAll(/[*?[]/g, '[$&]').replaceAll('%', '*').replaceAll('_', '?')
  return sql`${text} glob ${glob}`
}

/** As above without case; beyond ASCII, SQLite keeps cases apart. Its LIKE has no escapes unless it is told one. */
function ilike(text: RawBuilder<unknown>, pattern: string, dialect: Dialect): RawBuilder<SqlBool> {
  return dialect === 'postgres' ? sql`${text} ilike ${pattern} escape ''` : sql`lower(${text}) like lower(${pattern})`
}
