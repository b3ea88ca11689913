import { isSlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { compact, overtaken } from './compaction.ts'
import { letGo, unknownObjects } from './leftovers.ts'
import { isCurrent, readForgotten } from './forgotten.ts'
import { leave, writePartition } from './partitions.ts'
import { RECORD_OBJECTS } from './record-objects.ts'
import { readObject, readPartition } from './sources.ts'
import type { Selectable } from 'kysely'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { CompactionOptions } from './compaction.ts'
import type { Forgotten } from './forgotten.ts'
import type { RecordPartitionsRow } from './tables.ts'

type Partition = Selectable<RecordPartitionsRow>

/** Numbers of records that were removed, and of the partitions that they were in. */
export interface Removed {
  readonly records: number
  readonly partitions: number
}

const AT_ONCE = 100

/**
 * Removes the records of all forgotten units of an environment: from files as they arrived, which become partitions without them, and from
 * partitions, which are written anew. When it returns, no object has them. Safe to do twice.
 * @param onProgress called with what was removed so far
 */
export async function removeForgotten(
  options: CompactionOptions,
  environment: string,
  onProgress?: (removed: Removed) => Promise<void>,
): Promise<Removed> {
  const { database, objects, clock, signal } = options
  const forgotten = await readForgotten(database.read, environment)
  let { removed: records } = await compact(options, clock.epochMs())
  let partitions = 0
  for (let after = ''; ;) {
    const rows = await database.read
      .selectFrom('record_partitions')
      .selectAll()
      .where('environment', '=', environment)
      .where('id', '>', after)
      .orderBy('id')
      .limit(AT_ONCE)
      .execute()
    if (rows.length === 0) break
    for (const row of rows) {
      signal?.throwIfAborted()
      const removed = await rewrite(options, row, forgotten)
      records += removed
      if (removed > 0) partitions++
    }
    after = rows.at(-1)!.id
    await onProgress?.({ records, partitions })
  }
  await letGo({ database, objects, signal }, Infinity)
  await dropUnknown(options, environment, forgotten)
  return { records, partitions }
}

/**
 * Deletes objects that no row refers to, as a kill has left them, where they have records of forgotten units. Nobody is about to refer to such
 * a one: it would be noticed that something was forgotten since.
 */
async function dropUnknown({ database, objects, signal }: CompactionOptions, environment: string, forgotten: Forgotten): Promise<void> {
  for (const prefix of RECORD_OBJECTS)
    for await (const { key } of unknownObjects({ database, objects, signal }, `${prefix}${environment}/`)) {
      const records = await readObject(objects, key).catch(gone)
      if (records.some((record) => forgotten.has(environment, record))) await objects.delete(key)
    }
}

function gone(error: unknown): PredictionRecord[] {
  if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return []
  throw error
}

/** @returns how many records the partition had that were to be removed */
async function rewrite(options: CompactionOptions, partition: Partition, forgotten: Forgotten): Promise<number> {
  const { database, objects } = options
  const { environment, endpoint, hour_ms: hourMs, id } = partition
  const left: PredictionRecord[] = []
  for await (const group of readPartition(objects, partition)) left.push(...group.filter((record) => !forgotten.has(environment, record)))
  const removed = partition.row_count - left.length
  if (removed === 0) return 0
  const rewritten = left.length === 0 ? undefined : await writePartition(options, { environment, endpoint, hourMs }, left)
  await database.write(async (write) => {
    const { numDeletedRows } = await write.deleteFrom('record_partitions').where('id', '=', id).executeTakeFirst()
    if (numDeletedRows !== 1n || !(await isCurrent(write, forgotten))) throw overtaken()
    if (rewritten !== undefined) await write.insertInto('record_partitions').values(rewritten).execute()
    await leave(write, [partition.object_key], 0)
    await faultPoint('records.rewritten')
  })
  return removed
}
