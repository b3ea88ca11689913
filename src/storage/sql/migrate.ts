import { createHash } from 'node:crypto'
import { chmod, readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { sql } from 'kysely'
import { SlipwayError } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { databaseTime } from './time.ts'
import type { Kysely } from 'kysely'
import type { Database } from './database.ts'
import type { Migration } from './migration.ts'
import type { Schema } from './schema.ts'
import type { SqliteDatabase } from './sqlite.ts'

/** Number of the advisory lock of PostgreSQL that migrators take: SLIPWAY on a telephone. */
const LOCK = 7_547_929

/** Infix of the names of backups, after that of the SQLite file; a date follows, so that they sort by age. */
const BACKUP = '.backup-'

/** The record of an applied migration. */
interface AppliedRow {
  readonly name: string
  readonly checksum: string
  readonly applied_at: number
}

interface MigrationSchema extends Schema {
  slipway_migrations: AppliedRow
}

export interface MigrateOptions {
  /** In the order of application. */
  readonly migrations: readonly Migration[]
  /** Names of earlier migrations that a database may have recorded, and that no longer exist. Default: none. */
  readonly superseded?: readonly string[] | undefined
  /** Called after each migration that was applied here. */
  readonly onApplied?: (name: string) => void
}

/** The steps of a database's schema. */
export type Steps = Pick<MigrateOptions, 'migrations' | 'superseded'>

/** The migrations that a database lacks. */
export interface MigrationStatus {
  /** In the order of application. Empty: the database is up to date. */
  readonly missing: readonly string[]
}

/**
 * Compares the migrations that a database has recorded with those of this release.
 * @throws SLW_DATABASE_VERSION when it is newer than this release, or was made by a migration that has changed since
 */
export async function migrationStatus(database: Database, steps: Steps): Promise<MigrationStatus> {
  return { missing: (await missingFrom(database, database.read, steps)).map(({ name }) => name) }
}

/** @throws SLW_DATABASE_VERSION also when the database is behind, naming the command that brings it up to date */
export async function assertMigrated(database: Database, steps: Steps): Promise<void> {
  const { missing } = await migrationStatus(database, steps)
  if (missing.length === 0) return
  throw new SlipwayError(
    'SLW_DATABASE_VERSION',
    `the schema of the database is behind this release: it lacks ${missing.join(', ')}. Make a backup, then run: slipway migrate --db URL`,
  )
}

/**
 * Brings a database up to date: each migration in a transaction of its own that first takes a lock, so that of several
 * migrators at once each migration is applied by one. Migrations that are applied already are skipped. A SQLite file that has
 * been migrated before is first copied beside itself.
 * @returns the names of the migrations that were applied here
 * @throws SLW_DATABASE_VERSION when the database is newer than this release, or was made by a migration that has changed since
 */
export async function migrate(database: Database, { onApplied = () => {}, ...steps }: MigrateOptions): Promise<readonly string[]> {
  const applied: string[] = []
  let backedUp = false
  for (;;) {
    const name = await database.write(async (transaction) => {
      if (database.dialect === 'postgres') await sql`select pg_advisory_xact_lock(${LOCK}::bigint)`.execute(transaction)
      const [next] = await missingFrom(database, transaction, steps)
      if (next === undefined) return undefined
      if (isSqlite(database) && !backedUp) {
        // A copy of the state before this transaction, which keeps other writers out meanwhile.
        await backUp(database, next.name)
        backedUp = true
      }
      await apply(database, transaction, next)
      return next.name
    })
    if (name === undefined) return applied
    applied.push(name)
    onApplied(name)
  }
}

function isSqlite(database: Database): database is SqliteDatabase {
  return database.dialect === 'sqlite'
}

/** Copies a SQLite file to `FILE.backup-DATE-before-MIGRATION`; a new, empty one is not copied. */
async function backUp(database: SqliteDatabase, migration: string): Promise<void> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from sqlite_schema`.execute(database.read)
  if (rows[0]?.count === 0) return
  const date = new Date(await database.now()).toISOString().slice(0, 19).replaceAll(':', '-')
  const path = `${database.file}${BACKUP}${date}-before-${migration}`
  // Only a whole copy has the name of a backup: one that was cut off has another.
  const partial = `${path}.partial`
  await database.backup(partial)
  await chmod(partial, 0o600)
  await rename(partial, path)
}

async function newestBackup({ file }: SqliteDatabase): Promise<string | undefined> {
  const names = (await readdir(dirname(file))).filter((name) => name.startsWith(`${basename(file)}${BACKUP}`) && !name.endsWith('.partial'))
  const newest = names.toSorted().at(-1)
  return newest === undefined ? undefined : join(dirname(file), newest)
}

async function newer(database: Database, unknown: readonly string[]): Promise<SlipwayError> {
  const what = `the database is newer than this release, which does not know ${unknown.join(', ')}: run the release that made it`
  const backup = isSqlite(database) ? await newestBackup(database) : undefined
  return new SlipwayError('SLW_DATABASE_VERSION', backup === undefined ? what : `${what}, or go back to the backup ${backup}`)
}

async function apply(database: Database, transaction: Kysely<Schema>, migration: Migration): Promise<void> {
  const { name, statements, data } = migration
  await sql`create table if not exists slipway_migrations (name text primary key, checksum text not null, applied_at bigint not null)`.execute(
    transaction,
  )
  for (const statement of statements) {
    await sql.raw(statement).execute(transaction)
    await faultPoint('migration.statement')
  }
  await data?.run(transaction)
  await remembered(transaction)
    .insertInto('slipway_migrations')
    .values({ name, checksum: checksumOf(migration), applied_at: databaseTime(database.dialect) })
    .execute()
  await faultPoint('migration.noted')
}

/** SHA-256 of the statements, each followed by a NUL, and of the name of the data step where there is one. */
function checksumOf({ statements, data }: Migration): string {
  const hash = createHash('sha256')
  for (const statement of statements) hash.update(statement).update('\0')
  if (data !== undefined) hash.update(data.name).update('\0')
  return hash.digest('hex')
}

async function missingFrom(
  database: Database,
  connection: Kysely<Schema>,
  { migrations, superseded = [] }: Steps,
): Promise<readonly Migration[]> {
  const applied = new Map((await appliedTo(database, connection)).map((row) => [row.name, row]))
  const unknown = [...applied.keys()].filter(
    (name) => !superseded.includes(name) && !migrations.some((migration) => migration.name === name),
  )
  if (unknown.length > 0) throw await newer(database, unknown)
  for (const migration of migrations) {
    const { name } = migration
    const row = applied.get(name)
    if (row === undefined || row.checksum === checksumOf(migration)) continue
    throw new SlipwayError(
      'SLW_DATABASE_VERSION',
      `the migration ${name} is not the one that made this database (SHA-256 ${row.checksum} there, ${checksumOf(migration)} in this release): ` +
        'run the release that made it',
    )
  }
  return migrations.filter(({ name }) => !applied.has(name))
}

async function appliedTo(database: Database, connection: Kysely<Schema>): Promise<readonly AppliedRow[]> {
  const { rows } = await (
    database.dialect === 'sqlite'
      ? sql<{ found: number }>`select count(*) as found from sqlite_schema where type = 'table' and name = 'slipway_migrations'`
      : sql<{ found: number }>`select count(to_regclass('slipway_migrations')) as found`
  ).execute(connection)
  if (rows[0]?.found !== 1) return []
  return await remembered(connection).selectFrom('slipway_migrations').selectAll().orderBy('name').execute()
}

/** The table of migrations is no table of the product, and so not in its schema. */
function remembered(connection: Kysely<Schema>): Kysely<MigrationSchema> {
  return connection as unknown as Kysely<MigrationSchema>
}
