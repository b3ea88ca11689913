/** What all files of a run share (`--test-global-setup`): one PostgreSQL server with a database that is up to date. */
import { startPostgres } from './storage/postgres-server.ts'
import { migratePostgres, POSTGRES_FOLDER } from './storage/postgres-template.ts'
import type { PostgresServer } from './storage/postgres-server.ts'

let server: PostgresServer | undefined

export async function globalSetup(): Promise<void> {
  server = await startPostgres()
  await migratePostgres(server)
  process.env[POSTGRES_FOLDER] = server.folder
}

export async function globalTeardown(): Promise<void> {
  await server?.[Symbol.asyncDispose]()
}
