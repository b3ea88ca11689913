import { readBatch, readPartition } from './sources.ts'
import type { Kysely, Selectable } from 'kysely'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { RecordBatchesRow, RecordPartitionsRow } from './tables.ts'

export interface RecordQuery {
  readonly environment: string
  /** Default: all. */
  readonly endpoint?: string | undefined
  /** Not before, UTC epoch milliseconds. */
  readonly fromMs?: number | undefined
  /** Before, UTC epoch milliseconds. */
  readonly untilMs?: number | undefined
}

/** A position in the order of records: the newest first, equal times by id. */
export interface RecordPlace {
  readonly time: number
  readonly id: string
}

interface ReadOptions {
  readonly database: Database
  readonly objects: ObjectStore
}

/** Where records of one endpoint are. */
type Source = { readonly from_ms: number; readonly until_ms: number; readonly row_count: number } & (
  | { readonly kind: 'batch'; readonly row: Selectable<RecordBatchesRow> }
  | { readonly kind: 'partition'; readonly row: Selectable<RecordPartitionsRow> }
)

/** All sources as of one moment: a file that becomes a partition meanwhile is counted once. */
async function sourcesOf({ database }: ReadOptions, query: RecordQuery): Promise<Source[]> {
  return await database.snapshot(async (read) => {
    const batches = await sourceRows(read, 'record_batches', query)
    const partitions = await sourceRows(read, 'record_partitions', query)
    return [
      ...batches.map((row) => ({ ...spanOf(row), kind: 'batch', row }) as Source),
      ...partitions.map((row) => ({ ...spanOf(row), kind: 'partition', row }) as Source),
    ]
  })
}

function spanOf({ from_ms, until_ms, row_count }: Pick<Source, 'from_ms' | 'until_ms' | 'row_count'>) {
  return { from_ms, until_ms, row_count }
}

async function sourceRows(
  read: Kysely<Schema>,
  table: 'record_batches' | 'record_partitions',
  { environment, endpoint, fromMs, untilMs }: RecordQuery,
): Promise<Pick<Source, 'from_ms' | 'until_ms' | 'row_count'>[]> {
  return await read
    .selectFrom(table)
    .selectAll()
    .where('environment', '=', environment)
    .$if(endpoint !== undefined, (all) => all.where('endpoint', '=', endpoint!))
    .$if(fromMs !== undefined, (all) => all.where('until_ms', '>=', fromMs!))
    .$if(untilMs !== undefined, (all) => all.where('from_ms', '<', untilMs!))
    .execute()
}

/** The newest records after a place, one more than `limit` where there are more, and how many records there are in all. */
export async function newestRecords(
  options: ReadOptions,
  query: RecordQuery,
  { limit, after }: { readonly limit: number; readonly after?: RecordPlace | undefined },
): Promise<{ readonly items: PredictionRecord[]; readonly total: number }> {
  const sources = (await sourcesOf(options, query)).toSorted((a, b) => b.until_ms - a.until_ms)
  const total = sources.reduce((sum, { row_count }) => sum + row_count, 0)
  let items: PredictionRecord[] = []
  for (const source of sources) {
    if (after !== undefined && source.from_ms > after.time) continue
    // All that is left is older than what has been found.
    if (items.length > limit && source.until_ms < items[limit]!.time) break
    for await (const group of groupsOf(options.objects, source, 'newest')) {
      const fresh = after === undefined ? group : group.filter((record) => comesAfter(record, after))
      items = [...items, ...fresh].toSorted((a, b) => (comesAfter(a, b) ? 1 : -1)).slice(0, limit + 1)
      const oldest = group.reduce((least, { time }) => Math.min(least, time), Infinity)
      if (items.length > limit && oldest < items[limit]!.time) break
    }
  }
  return { items, total }
}

/** Whether a record comes after a place: it is older. */
function comesAfter({ time, id }: RecordPlace, place: RecordPlace): boolean {
  return time === place.time ? id < place.id : time < place.time
}

/** All records of a span of time, about in the order of time. Holds a group of them. */
export async function* exportRecords(options: ReadOptions, query: RecordQuery): AsyncGenerator<PredictionRecord> {
  const { fromMs = 0, untilMs = Infinity } = query
  const sources = (await sourcesOf(options, query)).toSorted((a, b) => a.from_ms - b.from_ms)
  for (const source of sources)
    for await (const group of groupsOf(options.objects, source, 'oldest'))
      for (const record of group) if (record.time >= fromMs && record.time < untilMs) yield record
}

async function* groupsOf(objects: ObjectStore, source: Source, order: 'oldest' | 'newest'): AsyncGenerator<PredictionRecord[]> {
  if (source.kind === 'batch') yield await readBatch(objects, source.row)
  else yield* readPartition(objects, source.row, order)
}
