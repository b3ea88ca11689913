import { createWriteStream, createReadStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { sql } from 'kysely'
import { createTarDecoder } from 'modern-tar'
import { check } from '../../contract/schema.ts'
import { SlipwayError } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { fillDatabase } from '../sql/open.ts'
import { openObjectStore } from '../objects/open.ts'
import { BackupManifest, END_FILE, MANIFEST_FILE, OBJECTS_FOLDER, TABLES_FOLDER } from './manifest.ts'
import type { Transaction } from 'kysely'
import type { ObjectStore } from '../objects/object-store.ts'
import type { Schema, Table } from '../sql/schema.ts'
import type { Migration } from '../sql/migration.ts'

/** The tables and migrations that a backup may hold. */
export interface RestoredRooms {
  /** In an order in which each row comes after those that it refers to. */
  readonly tables: readonly Table[]
  readonly migrations: readonly Migration[]
  /** Called within the transaction, when all rows are there. */
  restored(write: Transaction<Schema>): Promise<void>
  /** Reads back what the rows refer to. @returns what is not there or has other bytes, in words */
  damaged(read: Transaction<Schema>, objects: ObjectStore, onChecked: () => void): Promise<readonly string[]>
}

export interface RestoreOptions {
  readonly archive: Readable
  /** URL of an empty database: `sqlite:PATH` or `postgres://...`, whichever kind the backup was made of. */
  readonly database: string
  /** URL of the object store that gets the bytes, or has them: `file:PATH` or `s3://...`. */
  readonly objects: string
  /** Folder for rows until the whole archive has been read; created, and removed afterwards. */
  readonly folder: string
  /** Tables and migrations of this release. */
  readonly rooms: RestoredRooms
  readonly onObject?: (done: number, total: number) => void
  /** Called for each file that was read back. */
  readonly onChecked?: () => void
  /** Whether a backup is restored although some files are damaged. Default: nothing is restored then. */
  readonly withDamaged?: boolean
}

/** Size limit of a manifest, larger than any real one. */
const MANIFEST_BYTES_MAX = 1_000_000
const ROWS_AT_ONCE = 500
/** Upper limit of values in one statement that both databases take. */
const VALUES_MAX = 20_000

/**
 * Restores a backup into an empty database. Bytes come first, rows last and in one transaction: whenever the process is killed, the
 * database has all or nothing. Before it ends, every file is read back and compared with its digest.
 * @returns what the backup holds, and the files that are damaged, in words
 * @throws SLW_STORE_CORRUPT for damaged files, unless they are to be let pass; SLW_INPUT_INVALID for what is no backup, or was cut off; SLW_CONFLICT where the database is not empty; SLW_DATABASE_VERSION
 */
export async function restoreBackup(options: RestoreOptions): Promise<{ manifest: BackupManifest; damaged: readonly string[] }> {
  const { folder, rooms } = options
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  try {
    await using objects = await openObjectStore(options.objects)
    const { manifest, parts } = await readArchive(options, objects)
    await faultPoint('restore.read')
    let damaged: readonly string[] = []
    const kept = rooms.tables.filter(({ key }) => key !== undefined)
    await fillDatabase(options.database, { names: manifest.migrations, migrations: rooms.migrations }, async (write) => {
      await requireEmpty(write, kept, manifest)
      // Rows that migrations have inserted are in the backup too.
      for (const { name } of kept.toReversed())
        if (manifest.tables[name] !== undefined) await sql`delete from ${sql.table(name)}`.execute(write)
      for (const { name } of kept) {
        let count = 0
        for (const file of parts.get(name) ?? []) count += await fillTable(write, name, file)
        if (count !== (manifest.tables[name] ?? 0))
          throw cutOff(`table ${name} has ${count} rows, ${manifest.tables[name] ?? 0} were announced`)
        await faultPoint('restore.table')
      }
      await rooms.restored(write)
      damaged = await rooms.damaged(write, objects, options.onChecked ?? (() => {}))
      if (damaged.length > 0 && options.withDamaged !== true)
        throw new SlipwayError(
          'SLW_STORE_CORRUPT',
          `${damaged.length} files are not as they were when the backup was made, and nothing was restored: ${damaged.slice(0, 5).join('; ')}${damaged.length > 5 ? '; ...' : ''}. To have everything else: --with-damaged`,
        )
    })
    await faultPoint('restore.filled')
    return { manifest, damaged }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Archive {
  readonly manifest: BackupManifest
  /** Files with rows, by table, in order. */
  readonly parts: ReadonlyMap<string, string[]>
}

async function readArchive({ archive, folder, rooms, onObject }: RestoreOptions, objects: ObjectStore): Promise<Archive> {
  let manifest: BackupManifest | undefined
  let ended = false
  let stored = 0
  const parts = new Map<string, string[]>()
  const entries = Readable.toWeb(archive).pipeThrough(createTarDecoder() as never) as unknown as AsyncIterable<TarEntry>
  try {
    for await (const { header, body } of entries) {
      const { name, size } = header
      if (manifest === undefined) {
        if (name !== MANIFEST_FILE || size > MANIFEST_BYTES_MAX) throw notOurs(`it begins with ${JSON.stringify(name)}`)
        manifest = manifestIn(await new Response(body).text())
      } else if (name.startsWith(TABLES_FOLDER)) {
        const [table = '', part = ''] = name.slice(TABLES_FOLDER.length).split('/')
        if (!rooms.tables.some((known) => known.name === table && known.key !== undefined) || !/^\d+\.jsonl$/.test(part))
          throw notOurs(`it holds ${JSON.stringify(name)}`)
        const file = join(folder, `${table}-${part}`)
        await pipeline(Readable.fromWeb(body as never), createWriteStream(file))
        parts.set(table, [...(parts.get(table) ?? []), file])
      } else if (name.startsWith(OBJECTS_FOLDER)) {
        // The store checks the key.
        await objects.put(name.slice(OBJECTS_FOLDER.length), Readable.fromWeb(body as never))
        onObject?.(++stored, manifest.objects.count)
        await faultPoint('restore.object')
      } else if (name === END_FILE) {
        await body.cancel()
        ended = true
      } else throw notOurs(`it holds ${JSON.stringify(name)}`)
    }
  } catch (error) {
    if (error instanceof SlipwayError) throw error
    throw notOurs((error as Error).message)
  }
  if (manifest === undefined) throw notOurs('it is empty')
  if (!ended) throw cutOff('its last file is missing')
  if (manifest.objects.included && stored !== manifest.objects.count)
    throw cutOff(`it has ${stored} objects, ${manifest.objects.count} were announced`)
  return { manifest, parts }
}

interface TarEntry {
  readonly header: { readonly name: string; readonly size: number }
  readonly body: ReadableStream<Uint8Array>
}

function manifestIn(text: string): BackupManifest {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw notOurs(`${MANIFEST_FILE} is no JSON: ${(error as Error).message}`)
  }
  const found = check(BackupManifest, value)
  if ('value' in found) return found.value
  throw notOurs(`${MANIFEST_FILE}: ${found.issues[0]?.path ?? ''} ${found.issues[0]?.message ?? ''}`)
}

function notOurs(why: string): SlipwayError {
  return new SlipwayError('SLW_INPUT_INVALID', `this is no backup of slipway: ${why}`)
}

function cutOff(why: string): SlipwayError {
  return new SlipwayError('SLW_INPUT_INVALID', `the backup is not whole: ${why}`)
}

/** @param manifest only the tables that it names are there already; those of later releases are not */
async function requireEmpty(write: Transaction<Schema>, tables: readonly Table[], manifest: BackupManifest): Promise<void> {
  for (const { name, madeAtStart = false } of tables) {
    if (madeAtStart || manifest.tables[name] === undefined) continue
    const { rows } = await sql`select 1 from ${sql.table(name)} limit 1`.execute(write)
    if (rows.length > 0)
      throw new SlipwayError('SLW_CONFLICT', `the database is not empty: there are rows in ${name}. Restore into a new one`)
  }
}

async function fillTable(write: Transaction<Schema>, table: string, file: string): Promise<number> {
  let count = 0
  let rows: Record<string, unknown>[] = []
  const flush = async (): Promise<void> => {
    if (rows.length === 0) return
    const columns = Object.keys(rows[0]!)
    const values = rows.map((row) => sql`(${sql.join(columns.map((column) => row[column]))})`)
    await sql`insert into ${sql.table(table)} (${sql.join(columns.map((column) => sql.ref(column)))}) values ${sql.join(values)}`.execute(
      write,
    )
    count += rows.length
    rows = []
  }
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    const row = JSON.parse(line) as Record<string, unknown>
    rows.push(row)
    if (rows.length >= Math.min(ROWS_AT_ONCE, Math.floor(VALUES_MAX / Object.keys(row).length))) await flush()
  }
  await flush()
  return count
}
