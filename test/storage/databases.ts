import { join } from 'node:path'
import { after, test } from 'node:test'
import { migrate } from '../../src/storage/sql/migrate.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { openPlace } from './open-place.ts'
import { startPostgres } from './postgres-server.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { PostgresServer } from './postgres-server.ts'

/** Also where PostgreSQL has to be installed first. */
const TEST_LIMIT_MS = 300_000
const TEMPLATE = 'slipway_template'

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
 * The first test of a file on PostgreSQL starts a server, which ends with the file; a missing PostgreSQL is installed.
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

let server: Promise<PostgresServer> | undefined
let templateMade: Promise<string> | undefined
let databases = 0

after(async () => {
  await (await server?.catch(() => undefined))?.[Symbol.asyncDispose]()
})

/** The one server of this test file. */
export function postgresServer(): Promise<PostgresServer> {
  server ??= startPostgres()
  return server
}

/** An empty database of its own on the server of this test file. @returns its URL */
export async function newPostgres(template?: string): Promise<string> {
  return await (await postgresServer()).createDatabase(`slipway_test_${++databases}`, template)
}

/** As {@link newPostgres}, and it is up to date. */
export async function newMigratedPostgres(): Promise<string> {
  return await newPostgres(await migratedTemplate())
}

/** A database that is up to date, so that it is made so once and then copied. */
function migratedTemplate(): Promise<string> {
  templateMade ??= postgresServer().then(async (running) => {
    await migrated(await running.createDatabase(TEMPLATE))
    return TEMPLATE
  })
  return templateMade
}
