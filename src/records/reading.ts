import { sql } from 'kysely'
import { readBatch, readPartition } from './sources.ts'
import type { SelectQueryBuilder } from 'kysely'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Schema } from '../storage/sql/schema.ts'

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

/** Where records of one endpoint are: a file as it arrived has no content id. */
interface Source {
  readonly from_ms: number
  readonly until_ms: number
  readonly row_count: number
  readonly object_key: string
  readonly first_byte: number
  readonly byte_count: number
  readonly content_id: string | null
  readonly chunks: string | null
}

const SPAN = ['from_ms', 'until_ms', 'row_count', 'object_key', 'byte_count'] as const

/** All sources, by one statement: a file that becomes a partition meanwhile is read once. */
async function sourcesOf({ database: { read } }: ReadOptions, query: RecordQuery): Promise<Source[]> {
  const partitions = read.selectFrom('record_partitions').select([...SPAN, 'content_id', 'chunks', sql<number>`0`.as('first_byte')])
  const batches = read
    .selectFrom('record_batches')
    .select([...SPAN, sql<string | null>`null`.as('content_id'), sql<string | null>`null`.as('chunks'), 'first_byte'])
  return await within(partitions, query).unionAll(within(batches, query)).execute()
}

function within(
  rows: SelectQueryBuilder<Schema, 'record_batches', Source> | SelectQueryBuilder<Schema, 'record_partitions', Source>,
  { environment, endpoint, fromMs, untilMs }: RecordQuery,
): SelectQueryBuilder<Schema, 'record_batches', Source> {
  // Both tables have these columns.
  let found = rows as SelectQueryBuilder<Schema, 'record_batches', Source>
  found = found.where('environment', '=', environment)
  if (endpoint !== undefined) found = found.where('endpoint', '=', endpoint)
  if (fromMs !== undefined) found = found.where('until_ms', '>=', fromMs)
  if (untilMs !== undefined) found = found.where('from_ms', '<', untilMs)
  return found
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
  const { content_id, chunks } = source
  if (content_id === null || chunks === null) yield await readBatch(objects, source)
  else yield* readPartition(objects, { ...source, content_id, chunks }, order)
}
