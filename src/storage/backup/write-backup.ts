import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { sql } from 'kysely'
import { createTarPacker } from 'modern-tar'
import { slipwayVersion } from '../../core/version.ts'
import { END_FILE, MANIFEST_FILE, OBJECTS_FOLDER, TABLES_FOLDER } from './manifest.ts'
import type { Kysely } from 'kysely'
import type { TarPackController } from 'modern-tar'
import type { ObjectStore } from '../objects/object-store.ts'
import type { Database } from '../sql/database.ts'
import type { Schema, Table } from '../sql/schema.ts'
import type { Migration } from '../sql/migration.ts'
import type { BackupManifest } from './manifest.ts'

/** The parts of a database that a backup keeps, and the migrations that made its schema. */
export interface Kept {
  /** In an order in which each row comes after those that it refers to. */
  readonly tables: readonly Table[]
  /** In the order of application. */
  readonly migrations: readonly Migration[]
  /** The objects that rows refer to. */
  stored(read: Kysely<Schema>): Promise<readonly StoredObject[]>
}

export interface WriteBackupOptions {
  readonly database: Database
  readonly objects: ObjectStore
  readonly kept: Kept
  /** Whether the bytes of files go into the backup. */
  readonly withObjects: boolean
  /** Folder in which rows are collected until they are sent. */
  readonly folder: string
}

/** Rows that are read, and written into one file, at once. */
const ROWS_AT_ONCE = 5000

interface Part {
  readonly name: string
  readonly file: string
}

export interface StoredObject {
  readonly key: string
  /** Bytes. */
  readonly size: number
}

/**
 * Everything that a control plane has, as a tar archive, while it runs: first the manifest, then the rows of each table as lines of
 * JSON, all of one moment, then the objects that they refer to, then a file that marks the end. The caller ensures that no object is
 * collected meanwhile.
 */
export async function writeBackup(options: WriteBackupOptions): Promise<{ readonly manifest: BackupManifest; readonly archive: Readable }> {
  const { database, objects, withObjects, kept } = options
  await mkdir(options.folder, { recursive: true })
  const folder = await mkdtemp(join(options.folder, 'backup-'))
  const clean = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    const parts: Part[] = []
    const tables: Record<string, number> = {}
    const contents = await database.snapshot(async (read) => {
      for (const { name, key } of kept.tables) if (key !== undefined) tables[name] = await dumpTable(read, { name, key }, folder, parts)
      return await kept.stored(read)
    })
    const manifest: BackupManifest = {
      format: 'slipway-backup-v1',
      version: slipwayVersion(),
      createdAt: new Date().toISOString(),
      migrations: kept.migrations.map(({ name }) => name),
      tables,
      objects: { included: withObjects, count: contents.length, bytes: contents.reduce((sum, { size }) => sum + size, 0) },
    }
    const { readable, controller } = createTarPacker()
    const archive = Readable.fromWeb(readable as never)
    const packed = pack(controller, { manifest, parts, objects, contents: withObjects ? contents : [] })
    void packed.catch((error: unknown) => archive.destroy(error as Error)).then(clean)
    return { manifest, archive }
  } catch (error) {
    await clean()
    throw error
  }
}

/** @returns the number of rows of the table */
async function dumpTable(
  read: Kysely<Schema>,
  { name, key }: Required<Pick<Table, 'name' | 'key'>>,
  folder: string,
  parts: Part[],
): Promise<number> {
  const columns = sql.join(key.map((column) => sql.ref(column)))
  let count = 0
  for (let last: Record<string, unknown> | undefined; ;) {
    const behind = last === undefined ? sql`` : sql` where (${columns}) > (${sql.join(key.map((column) => last![column]))})`
    const { rows } = await sql<
      Record<string, unknown>
    >`select * from ${sql.table(name)}${behind} order by ${columns} limit ${sql.lit(ROWS_AT_ONCE)}`.execute(read)
    if (rows.length === 0) return count
    const file = join(folder, `${name}-${count}.jsonl`)
    await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
    parts.push({ name: `${TABLES_FOLDER}${name}/${String(count).padStart(12, '0')}.jsonl`, file })
    count += rows.length
    if (rows.length < ROWS_AT_ONCE) return count
    last = rows.at(-1)!
  }
}

interface Packed {
  readonly manifest: BackupManifest
  readonly parts: readonly Part[]
  readonly objects: ObjectStore
  readonly contents: readonly StoredObject[]
}

async function pack(controller: TarPackController, { manifest, parts, objects, contents }: Packed): Promise<void> {
  await addText(controller, MANIFEST_FILE, JSON.stringify(manifest, undefined, 2))
  for (const { name, file } of parts) await addStream(controller, name, (await stat(file)).size, createReadStream(file))
  for (const { key, size } of contents) await addStream(controller, `${OBJECTS_FOLDER}${key}`, size, await objects.get(key))
  await addText(controller, END_FILE, JSON.stringify({ files: parts.length, objects: contents.length }))
  controller.finalize()
}

async function addText(controller: TarPackController, name: string, text: string): Promise<void> {
  const bytes = Buffer.from(text)
  await addStream(controller, name, bytes.length, [bytes])
}

async function addStream(
  controller: TarPackController,
  name: string,
  size: number,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const writer = controller.add({ name, size, type: 'file', mode: 0o600, mtime: new Date(0) }).getWriter()
  for await (const bytes of body) {
    await writer.ready
    await writer.write(bytes)
  }
  await writer.close()
}
