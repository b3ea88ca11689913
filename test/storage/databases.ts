import { join } from 'node:path'
import { after, test } from 'node:test'
import { migrate } from '../../src/storage/sql/migrate.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { openPlace } from './open-place.ts'
import { migratePostgres, POSTGRES_FOLDER, TEMPLATE } from './postgres-template.ts'
import { databasesOf, startPostgres } from './postgres-server.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { PostgresDatabases, PostgresServer } from './postgres-server.ts'

/** Also where PostgreSQL has to be installed first. */
const TEST_LIMIT_MS = 300_000

/** The database of a test, for those who open it once more: another process, say. */
export interface DatabasePlace {
  /** For `openPlace`, and for `openDatabase`. */
  readonly url: string
}

/**
 * The same test on both databases, each time in a database of its own that is up to date:
 *
 *     eachDatabase('a name is taken once', async (database) => {
 *       await database.write((transaction) => transaction.insertInto('counters').values({ name: 'a', value: 1 }).execute())
 *     })
 *
 * All files of a run share one PostgreSQL server; a file that is run alone starts one, which ends with it. A missing PostgreSQL is installed.
 * `place.url` opens the same database once more, in a child process say, by `openPlace` of ./open-place.ts.
 */
export function eachDatabase(name: string, run: (database: Database, place: DatabasePlace) => Promise<void>): void {
  eachPlace(name, async (place) => {
    await using database = await openPlace(place.url)
    await run(database, place)
  })
}

/** As {@link eachDatabase}, for tests that open the database themselves. */
export function eachPlace(name: string, run: (place: DatabasePlace) => Promise<void>): void {
  test(`${name} (SQLite)`, { timeout: TEST_LIMIT_MS }, () =>
    onEmptySqlite(async (url) => {
      await migrated(url)
      await run({ url })
    }),
  )
  test(`${name} (PostgreSQL)`, { timeout: TEST_LIMIT_MS }, async () => run({ url: await newMigratedPostgres() }))
}

/** As {@link eachPlace}, and the databases are empty: no migration has been there. */
export function eachEmptyPlace(name: string, run: (place: DatabasePlace) => Promise<void>): void {
  test(`${name} (SQLite)`, { timeout: TEST_LIMIT_MS }, () => onEmptySqlite((url) => run({ url })))
  test(`${name} (PostgreSQL)`, { timeout: TEST_LIMIT_MS }, async () => run({ url: await newPostgres() }))
}

async function onEmptySqlite(run: (url: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder()
  await run(`sqlite:${join(folder.path, 'slipway.db')}`)
}

async function migrated(url: string): Promise<void> {
  await using database = await openPlace(url)
  await migrate(database, ROOMS)
}

/** Of this process alone: a server that other files use too is told its databases apart by it. */
const OWN = `slipway_test_${process.pid}`
let own: Promise<PostgresServer> | undefined
let templateMade: Promise<string> | undefined
let databases = 0

after(async () => {
  await (await own?.catch(() => undefined))?.[Symbol.asyncDispose]()
})

/** A server of this test file alone, for those that stop it. */
export function ownPostgresServer(): Promise<PostgresServer> {
  own ??= startPostgres()
  return own
}

/** The server of the whole run (scripts/test), where there is one; else of this file. */
async function postgres(): Promise<PostgresDatabases> {
  const folder = process.env[POSTGRES_FOLDER]
  return folder === undefined ? await ownPostgresServer() : databasesOf(folder)
}

/** An empty database of its own. @returns its URL */
export async function newPostgres(template?: string): Promise<string> {
  return await (await postgres()).createDatabase(`${OWN}_${++databases}`, template)
}

/** As {@link newPostgres}, and it is up to date. */
export async function newMigratedPostgres(): Promise<string> {
  return await newPostgres(await migratedTemplate())
}

/** A database that is up to date, so that it is made so once and then copied. */
async function migratedTemplate(): Promise<string> {
  if (process.env[POSTGRES_FOLDER] !== undefined) return TEMPLATE
  templateMade ??= postgres().then(async (running) => {
    await migratePostgres(running)
    return TEMPLATE
  })
  return await templateMade
}
