import { join } from 'node:path'
import { WINDOWS_FILE_MIGRATIONS } from '../monitoring/migrations.ts'
import { openDatabase } from '../storage/sql/open.ts'
import { FIRST_MIGRATIONS } from './migrations/index.ts'
import type { MonitoringTables } from '../monitoring/tables.ts'
import type { Database } from '../storage/sql/database.ts'
import type { OpenOptions } from '../storage/sql/open.ts'

/** Where a control plane keeps its rows, unless it is told otherwise. */
export function databaseUrl(data: string, url: string | undefined): string {
  return url ?? `sqlite:${join(data, 'slipway.db')}`
}

/** @param options of the control plane's own database, in which windows lie where that is PostgreSQL. @throws as openDatabase */
export async function openWindowsDatabase(database: string, options: OpenOptions): Promise<Database<MonitoringTables>> {
  const file = windowsFile(database)
  if (file === undefined) return await openDatabase(database, options)
  // Earlier releases had every table in it.
  return await openDatabase(file, { migrations: WINDOWS_FILE_MIGRATIONS, superseded: FIRST_MIGRATIONS.map(({ name }) => name) })
}

/** What servers saw lies beside a SQLite file in another one, so that each has a writer of its own; in PostgreSQL in the same database. */
function windowsFile(database: string): string | undefined {
  const path = /^sqlite:(.*)$/s.exec(database)?.[1]
  return path === undefined ? undefined : `sqlite:${path.replace(/(\.[^./]+)?$/, '-windows$1')}`
}

/** Where a control plane keeps its files, unless it is told otherwise. */
export function objectsUrl(data: string, url: string | undefined): string {
  return url ?? `file:${join(data, 'objects')}`
}
