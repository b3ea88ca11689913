import { sql } from 'kysely'
import { characterCount } from '../../core/text.ts'
import type { RawBuilder, SqlBool } from 'kysely'

/** Condition for a column of text that begins so; unlike LIKE it has no wildcards, and heeds case on every database. */
export function startsWith(column: string, prefix: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`substr(${sql.ref(column)}, 1, ${sql.lit(characterCount(prefix))}) = ${prefix}`
}
