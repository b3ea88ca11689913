import { sql } from 'kysely'
import { faultPoint } from '../core/fail-point.ts'
import { isForeignKeyViolation } from '../storage/sql/statement-error.ts'
import type { Clock } from '../core/clock.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'

export interface CollectOptions {
  readonly database: Database
  readonly objects: ObjectStore
  readonly clock: Clock
  /** Time that unreferenced contents, and objects without a row, are kept. */
  readonly graceMs: number
  /** Whether another room takes care of an object. Default: none does. */
  readonly isOthers?: (object: { readonly key: string }) => boolean
  /** No more objects are deleted once it is aborted. */
  readonly signal?: AbortSignal
}

/** Numbers of deleted contents and objects. */
export interface Collected {
  readonly contents: number
  /** Objects of those contents, and of contents that came twice. */
  readonly objects: number
  /** Objects that no row referred to: leftovers of a crash. */
  readonly orphans: number
}

const BATCH = 500

/**
 * Deletes unreferenced contents, while others write. The row of a content goes first: `files` and `holds` refer to it by foreign keys,
 * so the database refuses where a reference was just added. Its object goes after that commit, from a list that survives a crash.
 */
export async function collect(options: CollectOptions): Promise<Collected> {
  await mark(options)
  const contents = await dropContents(options)
  const objects = await sweep(options)
  return { contents, objects, orphans: await dropOrphans(options) }
}

async function mark({ database, clock }: CollectOptions): Promise<void> {
  const now = clock.epochMs()
  const referred = sql<boolean>`exists (select 1 from files where files.content_id = contents.id) or exists (select 1 from holds where holds.content_id = contents.id)`
  await database.write(async (write) => {
    await write.deleteFrom('holds').where('expires_at', '<', now).execute()
    await write.deleteFrom('uploads').where('expires_at', '<', now).execute()
    await write
      .updateTable('contents')
      .set({ unreferenced_since: now })
      .where('unreferenced_since', 'is', null)
      .where(sql<boolean>`not (${referred})`)
      .execute()
    await write
      .updateTable('contents')
      .set({ unreferenced_since: null })
      .where('unreferenced_since', 'is not', null)
      .where(sql<boolean>`(${referred})`)
      .execute()
  })
  await faultPoint('collect.marked')
}

async function dropContents({ database, clock, graceMs, signal }: CollectOptions): Promise<number> {
  const before = clock.epochMs() - graceMs
  let dropped = 0
  for (let after = ''; ;) {
    const rows = await database.read
      .selectFrom('contents')
      .select('id')
      .where('unreferenced_since', '<=', before)
      .where('id', '>', after)
      .orderBy('id')
      .limit(BATCH)
      .execute()
    if (rows.length === 0) return dropped
    for (const { id } of rows) {
      signal?.throwIfAborted()
      if (await dropContent({ database, clock }, id)) dropped++
      await faultPoint('collect.dropped')
    }
    after = rows.at(-1)!.id
  }
}

async function dropContent({ database, clock }: Pick<CollectOptions, 'database' | 'clock'>, id: string): Promise<boolean> {
  try {
    return await database.write(async (write) => {
      // The object that the content has now: it may have been deleted and added again since it was selected.
      const gone = await write
        .deleteFrom('contents')
        .where('id', '=', id)
        .where('unreferenced_since', 'is not', null)
        .returning('object_key')
        .executeTakeFirst()
      if (gone === undefined) return false
      await write.insertInto('doomed_objects').values({ object_key: gone.object_key, since: clock.epochMs() }).execute()
      return true
    })
  } catch (error) {
    // A reference to the content was just added.
    if (isForeignKeyViolation(error)) return false
    throw error
  }
}

async function sweep({ database, objects, signal }: CollectOptions): Promise<number> {
  let swept = 0
  for (;;) {
    const rows = await database.read.selectFrom('doomed_objects').select('object_key').limit(BATCH).execute()
    if (rows.length === 0) return swept
    for (const { object_key: key } of rows) {
      signal?.throwIfAborted()
      await objects.delete(key)
    }
    await faultPoint('collect.deleted')
    const keys = rows.map((row) => row.object_key)
    await database.write(async (write) => {
      await write.deleteFrom('doomed_objects').where('object_key', 'in', keys).execute()
    })
    swept += rows.length
  }
}

async function dropOrphans({ database, objects, clock, graceMs, isOthers = () => false, signal }: CollectOptions): Promise<number> {
  const before = clock.epochMs() - graceMs
  let dropped = 0
  for await (const { key, modifiedAtMs } of objects.list('')) {
    signal?.throwIfAborted()
    if (modifiedAtMs > before || isOthers({ key }) || (await isKnown(database, key))) continue
    await objects.delete(key)
    await faultPoint('collect.orphan')
    dropped++
  }
  for await (const { key, uploadId } of objects.unfinishedParts(before)) {
    signal?.throwIfAborted()
    if (await isKnown(database, key)) continue
    await objects.abortParts(key, uploadId)
    dropped++
  }
  return dropped
}

/** Uploads first: one that ends between two queries is known by its content. */
async function isKnown({ read }: Database, key: string): Promise<boolean> {
  for (const table of ['uploads', 'contents', 'doomed_objects'] as const) {
    const row = await read.selectFrom(table).select('object_key').where('object_key', '=', key).executeTakeFirst()
    if (row !== undefined) return true
  }
  return false
}
