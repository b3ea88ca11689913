import { isSlipwayError, SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { isCurrent, readForgotten } from './forgotten.ts'
import { HOUR_MS, leave, writePartition } from './partitions.ts'
import { readBatch } from './sources.ts'
import type { Selectable } from 'kysely'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { Ground } from '../ledger/scope.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Forgotten } from './forgotten.ts'
import type { NewPartition, Place } from './partitions.ts'
import type { RecordBatchesRow } from './tables.ts'

type Batch = Selectable<RecordBatchesRow>

export interface CompactionOptions extends Ground {
  readonly objects: ObjectStore
  /** Ends it between two steps. */
  readonly signal?: AbortSignal | undefined
}

/** Bytes of files that become partitions together. */
const STEP_BYTES = 16 * 1024 * 1024
/** Files that become partitions together, at most. */
const STEP_FILES = 2000
/** Bytes of files from which they are not left until their hour is over. */
const DUE_BYTES = 32 * 1024 * 1024
/** Time after the end of an hour in which its last records arrive. */
const LATE_MS = 2 * 60_000

/** Whether files are due: of an hour that is over, or too many. */
export async function isCompactionDue({ read }: Database, now: number): Promise<boolean> {
  const { oldest, bytes } = await read
    .selectFrom('record_batches')
    .select(({ fn }) => [fn.min('from_ms').as('oldest'), fn.sum<number | string>('byte_count').as('bytes')])
    .executeTakeFirstOrThrow()
  const hourMs = Math.floor((now - LATE_MS) / HOUR_MS) * HOUR_MS
  return oldest !== null && (oldest < hourMs || Number(bytes) >= DUE_BYTES)
}

/** Numbers of records in new partitions, and of those that were left out, as their units are forgotten. */
export interface Compacted {
  readonly records: number
  readonly removed: number
}

/**
 * Makes partitions of all files that have arrived before `beforeMs`. Objects are written first; then one transaction puts the rows of the
 * partitions in the place of those of the files. So a kill loses nothing, and counts nothing twice.
 * @throws SLW_CONFLICT where another process has done the same, or a unit was forgotten meanwhile: to be tried again
 */
export async function compact(options: CompactionOptions, beforeMs: number): Promise<Compacted> {
  let [records, removed] = [0, 0]
  for (;;) {
    options.signal?.throwIfAborted()
    const batches = await nextBatches(options.database, beforeMs)
    if (batches.length === 0) return { records, removed }
    const some = await compactSome(options, batches)
    records += some.records
    removed += some.removed
  }
}

/** Whole files: rows of one object are taken together. */
async function nextBatches({ read }: Database, beforeMs: number): Promise<Batch[]> {
  const rows = await read
    .selectFrom('record_batches')
    .selectAll()
    .where('received_at', '<=', beforeMs)
    .orderBy('received_at')
    .orderBy('object_key')
    .limit(STEP_FILES)
    .execute()
  const files = [...Map.groupBy(rows, ({ object_key }) => object_key).values()]
  // The last one may have more rows.
  const whole = rows.length === STEP_FILES && files.length > 1 ? files.slice(0, -1) : files
  let bytes = 0
  return whole.filter((file, index) => (bytes += file.reduce((sum, row) => sum + row.byte_count, 0)) <= STEP_BYTES || index === 0).flat()
}

async function compactSome(options: CompactionOptions, batches: readonly Batch[]): Promise<Compacted> {
  const forgotten = await readForgotten(options.database.read)
  const { groups, removed } = await grouped(options, batches, forgotten)
  const partitions: NewPartition[] = []
  try {
    for (const { place, records } of groups) partitions.push(await writePartition(options, place, records))
    await exchange(options, { batches, partitions, forgotten })
  } catch (error) {
    // Where the transaction came to its end without telling, they are known by their rows: they are not deleted here.
    if (isSlipwayError(error) && error.code === 'SLW_CONFLICT')
      for (const { object_key } of partitions) await options.objects.delete(object_key)
    throw error
  }
  return { records: partitions.reduce((sum, { row_count }) => sum + row_count, 0), removed }
}

interface Group {
  readonly place: Place
  readonly records: PredictionRecord[]
}

async function grouped(
  { objects, signal }: CompactionOptions,
  batches: readonly Batch[],
  forgotten: Forgotten,
): Promise<{ readonly groups: Iterable<Group>; readonly removed: number }> {
  const groups = new Map<string, Group>()
  let removed = 0
  for (const batch of batches) {
    signal?.throwIfAborted()
    const { environment, endpoint } = batch
    for (const record of await readBatch(objects, batch)) {
      if (forgotten.has(environment, record)) {
        removed++
        continue
      }
      const hourMs = Math.floor(record.time / HOUR_MS) * HOUR_MS
      const name = JSON.stringify([environment, endpoint, hourMs])
      const group = groups.get(name) ?? { place: { environment, endpoint, hourMs }, records: [] }
      groups.set(name, group)
      group.records.push(record)
    }
  }
  return { groups: groups.values(), removed }
}

interface Exchanged {
  readonly batches: readonly Batch[]
  readonly partitions: readonly NewPartition[]
  readonly forgotten: Forgotten
}

/** Puts partitions in the place of files. @throws SLW_CONFLICT */
async function exchange({ database, clock }: CompactionOptions, { batches, partitions, forgotten }: Exchanged): Promise<void> {
  await database.write(async (write) => {
    if (!(await isCurrent(write, forgotten))) throw overtaken()
    for (const { environment, boot_id, sequence, endpoint } of batches) {
      const { numDeletedRows } = await write
        .deleteFrom('record_batches')
        .where('environment', '=', environment)
        .where('boot_id', '=', boot_id)
        .where('sequence', '=', sequence)
        .where('endpoint', '=', endpoint)
        .executeTakeFirst()
      if (numDeletedRows !== 1n) throw overtaken()
    }
    for (const partition of partitions) await write.insertInto('record_partitions').values(partition).execute()
    await leave(write, [...new Set(batches.map(({ object_key }) => object_key))], clock.epochMs())
    await faultPoint('records.compacted')
  })
}

export function overtaken(): SlipwayError {
  return new SlipwayError('SLW_CONFLICT', 'the records were changed meanwhile: they are read again')
}
