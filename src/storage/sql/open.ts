import { SlipwayError } from '../../core/errors.ts'
import { assertMigrated, migrate } from './migrate.ts'
import { openPostgres } from './postgres.ts'
import { openSqlite } from './sqlite.ts'
import type { Database } from './database.ts'

/**
 * Opens the database of a control plane, whose schema is then the one of this release. A SQLite file is brought up to date,
 * after a copy of it; a PostgreSQL database that is behind is refused, because others may still use it.
 * @param url `sqlite:PATH` or `postgres://...`
 * @throws SLW_CONFIG_INVALID, SLW_DATABASE_UNAVAILABLE, SLW_DATABASE_VERSION; SLW_DATABASE_IN_USE where another control plane
 *   has the SQLite file
 */
export async function openDatabase(url: string): Promise<Database> {
  const file = /^sqlite:(.+)$/s.exec(url)?.[1]
  const isPostgres = /^postgres(?:ql)?:/.test(url)
  if (file === undefined && !isPostgres) {
    // Not the URL itself, in which a password may be.
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0] ?? 'no scheme'
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `the URL of the database has ${scheme}; expected sqlite:PATH or postgres://user:password@host:port/database`,
    )
  }
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await (file === undefined ? openPostgres({ url }) : openSqlite({ file })))
  if (file === undefined) await assertMigrated(database)
  else await migrate(database)
  stack.move()
  return database
}
