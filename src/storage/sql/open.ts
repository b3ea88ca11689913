import { open, realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { lockDatabase } from './file-lock.ts'
import { assertMigrated, migrate, migrationStatus } from './migrate.ts'
import { openPostgres } from './postgres.ts'
import { openSqlite, removeSnapshots } from './sqlite.ts'
import type { Transaction } from 'kysely'
import type { Database } from './database.ts'
import type { Migration } from './migration.ts'
import type { Schema } from './schema.ts'
import type { MigrateOptions, Steps } from './migrate.ts'
import type { SqliteDatabase } from './sqlite.ts'

/**
 * Opens the database of a control plane, whose schema is then the one of this release. A SQLite file is created where there is
 * none, locked against other control planes, and copied before it is brought up to date. A PostgreSQL database that is behind
 * is refused, because others may still use it.
 * @param url `sqlite:PATH` or `postgres://user:password@host:port/database`
 * @throws SLW_CONFIG_INVALID, SLW_DATABASE_UNAVAILABLE, SLW_DATABASE_VERSION, SLW_DEPENDENCY_MISSING; SLW_DATABASE_IN_USE where
 *   another control plane has the SQLite file
 */
export async function openDatabase<S = Schema>(url: string, { password, ...steps }: OpenOptions): Promise<Database<S>> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await openAsItIs(url, password))
  await (database.dialect === 'sqlite' ? migrate(database, steps) : assertMigrated(database, steps))
  stack.move()
  // The caller that names the steps knows which tables they have made.
  return database as unknown as Database<S>
}

export interface OpenOptions extends Steps {
  /** Overrides the password of the URL; asked for each connection, so that a rotated one is used from then on. */
  readonly password?: (() => Promise<string>) | undefined
}

/**
 * Brings a database up to date (`slipway migrate`) and closes it.
 * @returns the names of the migrations that were applied, none where it was up to date
 * @throws as {@link openDatabase}
 */
export async function migrateDatabase(url: string, options: MigrateOptions): Promise<readonly string[]> {
  await using database = await openAsItIs(url)
  return await migrate(database, options)
}

/**
 * Fills an empty database with rows of a schema that may be older than this release's, and then brings it up to date. It is filled in
 * one transaction, so that all rows are there or none, whenever the process is killed.
 * @param options.names the migrations that made the schema of the rows; `migrations`: those of this release
 * @throws SLW_DATABASE_VERSION for a schema that this release does not know; SLW_CONFLICT where the database is not empty
 */
export async function fillDatabase(
  url: string,
  { names, migrations }: { readonly names: readonly string[]; readonly migrations: readonly Migration[] },
  fill: (write: Transaction<Schema>) => Promise<void>,
): Promise<void> {
  const known = migrations.filter(({ name }) => names.includes(name))
  if (known.length !== names.length)
    throw new SlipwayError(
      'SLW_DATABASE_VERSION',
      `the rows are of a schema that this release does not know (${names.filter((name) => !known.some((one) => one.name === name)).join(', ')}): use the release that made them`,
    )
  await using database = await openAsItIs(url)
  const { missing } = await migrationStatus(database, { migrations })
  if (missing.length < migrations.length - known.length)
    throw new SlipwayError('SLW_CONFLICT', 'the database is of a newer schema than the rows: use an empty one')
  await migrate(database, { migrations: known })
  await database.write(fill)
  await migrate(database, { migrations })
}

async function openAsItIs(url: string, password?: () => Promise<string>): Promise<Database> {
  const file = sqliteFile(url)
  if (file !== undefined) return await openLocked(file)
  if (/^postgres(?:ql)?:\/\//.test(url)) return await openPostgres({ url, ...(password !== undefined && { password }) })
  // Not the whole URL, which may contain a password.
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0]
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `the URL of the database ${scheme === undefined ? 'has no scheme' : `begins with ${scheme}`}; ` +
      'expected sqlite:PATH or postgres://user:password@host:port/database',
  )
}

function sqliteFile(url: string): string | undefined {
  const path = /^sqlite:(.*)$/s.exec(url)?.[1]
  if (path === undefined) return undefined
  // Some read sqlite:///x.db as a relative path and some as an absolute one, and databases in memory are not supported.
  if (path !== '' && !path.startsWith('//') && path !== ':memory:') return resolve(path)
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `${url} names no file; expected sqlite:PATH, such as sqlite:slipway.db or sqlite:/var/lib/slipway.db`,
  )
}

/** Opens a SQLite file, locked against other control planes until it is closed. */
async function openLocked(path: string): Promise<SqliteDatabase> {
  // The real path, whatever links lead to it: the lock is named after it.
  const file = await existing(path)
  await using stack = new AsyncDisposableStack()
  stack.use(await lockDatabase(file))
  await removeSnapshots(file)
  const database = stack.use(await openSqlite({ file }))
  const owned = stack.move()
  return {
    dialect: database.dialect,
    file,
    read: database.read,
    write: (work) => database.write(work),
    snapshot: (work) => database.snapshot(work),
    now: () => database.now(),
    backup: (to) => database.backup(to),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Creates an empty file where there is none, readable by its owner alone, as it holds secrets of webhooks. */
async function existing(path: string): Promise<string> {
  try {
    await (await open(path, 'a', 0o600)).close()
    return await realpath(path)
  } catch (error) {
    throw new SlipwayError('SLW_DATABASE_UNAVAILABLE', `the database ${path} cannot be opened: ${messageOf(error)}`, { cause: error })
  }
}
