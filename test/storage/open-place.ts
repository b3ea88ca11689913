import { openPostgres } from '../../src/storage/sql/postgres.ts'
import { openSqlite } from '../../src/storage/sql/sqlite.ts'
import type { Database } from '../../src/storage/sql/database.ts'

/** Opens a database without a look at its schema and at who has it. */
export async function openPlace(url: string): Promise<Database> {
  return url.startsWith('sqlite:') ? await openSqlite({ file: url.slice('sqlite:'.length) }) : await openPostgres({ url })
}
