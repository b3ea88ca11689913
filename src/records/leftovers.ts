import { faultPoint } from '../core/fail-point.ts'
import { RECORD_OBJECTS } from './record-objects.ts'
import type { ObjectStore, StoredObject } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'

export interface LeftoversOptions {
  readonly database: Database
  readonly objects: ObjectStore
  readonly signal?: AbortSignal | undefined
}

const AT_ONCE = 500

/** Deletes objects that no row has referred to since before `beforeMs`. @returns how many */
export async function letGo({ database, objects, signal }: LeftoversOptions, beforeMs: number): Promise<number> {
  let count = 0
  for (;;) {
    const rows = await database.read
      .selectFrom('record_leftovers')
      .select('object_key')
      .$if(Number.isFinite(beforeMs), (all) => all.where('since', '<', beforeMs))
      .limit(AT_ONCE)
      .execute()
    if (rows.length === 0) return count
    const keys = rows.map(({ object_key }) => object_key)
    for (const key of keys) {
      signal?.throwIfAborted()
      await objects.delete(key)
    }
    await faultPoint('records.let-go')
    await database.write(async (write) => {
      await write.deleteFrom('record_leftovers').where('object_key', 'in', keys).execute()
    })
    count += keys.length
  }
}

/** Deletes objects that no row refers to, and that are older: a kill has left them. @returns how many */
export async function dropOrphans(options: LeftoversOptions, beforeMs: number): Promise<number> {
  let count = 0
  for (const prefix of RECORD_OBJECTS)
    for await (const { key } of unknownObjects(options, prefix, beforeMs)) {
      await options.objects.delete(key)
      count++
    }
  return count
}

/** Objects that no row refers to. @param beforeMs those that are older only. Default: all */
export async function* unknownObjects(
  { database, objects, signal }: LeftoversOptions,
  prefix: string,
  beforeMs: number = Infinity,
): AsyncGenerator<StoredObject> {
  for await (const object of objects.list(prefix)) {
    signal?.throwIfAborted()
    if (object.modifiedAtMs <= beforeMs && !(await isKnown(database, object.key))) yield object
  }
}

/** Leftovers last: an object becomes one of them, and nothing else after that. */
async function isKnown({ read }: Database, key: string): Promise<boolean> {
  for (const table of ['record_batches', 'record_partitions', 'record_leftovers'] as const) {
    const row = await read.selectFrom(table).select('object_key').where('object_key', '=', key).executeTakeFirst()
    if (row !== undefined) return true
  }
  return false
}
