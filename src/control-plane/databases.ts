import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WINDOWS_FILE_MIGRATIONS } from '../monitoring/migrations.ts'
import { openDatabase } from '../storage/sql/open.ts'
import { FIRST_MIGRATIONS } from './migrations/index.ts'
import type { KeptFolder } from '../core/disk-space.ts'
import type { MonitoringTables } from '../monitoring/tables.ts'
import type { Database } from '../storage/sql/database.ts'
import type { OpenOptions } from '../storage/sql/open.ts'

/** URL of a control plane's database. Default: a SQLite file in the data folder. */
export function databaseUrl(data: string, url: string | undefined): string {
  return url ?? `sqlite:${join(data, 'slipway.db')}`
}

/** @param options of the control plane's own database, which also holds the windows on PostgreSQL. @throws as openDatabase */
export async function openWindowsDatabase(database: string, options: OpenOptions): Promise<Database<MonitoringTables>> {
  const file = windowsFile(database)
  if (file === undefined) return await openDatabase(database, options)
  // Earlier releases had every table in the file of windows.
  return await openDatabase(file, { migrations: WINDOWS_FILE_MIGRATIONS, superseded: FIRST_MIGRATIONS.map(({ name }) => name) })
}

/** The SQLite file of windows beside the main one, so that each has a writer of its own; undefined on PostgreSQL, which holds both. */
function windowsFile(database: string): string | undefined {
  const path = /^sqlite:(.*)$/s.exec(database)?.[1]
  return path === undefined ? undefined : `sqlite:${path.replace(/(\.[^./]+)?$/, '-windows$1')}`
}

/** URL of a control plane's object store. Default: a folder in the data folder. */
export function objectsUrl(data: string, url: string | undefined): string {
  return url ?? `file:${join(data, 'objects')}`
}

/** Folders of this machine in which a database and an object store lie; none for what is kept elsewhere. */
export function keptFolders(database: string, objects: string): KeptFolder[] {
  const file = /^sqlite:(.*)$/s.exec(database)?.[1]
  const folder = /^s3:/i.test(objects) ? undefined : objects.startsWith('file://') ? fileURLToPath(objects) : objects.replace(/^file:/, '')
  return [
    ...(file === undefined ? [] : [{ what: 'database', folder: dirname(resolve(file)) }]),
    ...(folder === undefined ? [] : [{ what: 'objects', folder: resolve(folder) }]),
  ]
}
