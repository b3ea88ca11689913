import { migrate } from '../../src/storage/sql/migrate.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import { openPlace } from './open-place.ts'
import type { PostgresDatabases } from './postgres-server.ts'

/** The variable with the folder of the socket of a server that all files of a run share. */
export const POSTGRES_FOLDER = 'TEST_POSTGRES_FOLDER'
/** A database that is up to date, to be copied. */
export const TEMPLATE = 'slipway_template'

export async function migratePostgres(server: PostgresDatabases): Promise<void> {
  await using database = await openPlace(await server.createDatabase(TEMPLATE))
  await migrate(database, ROOMS)
}
