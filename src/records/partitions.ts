import { ContentDigester } from '../core/content-digest.ts'
import { faultPoint } from '../core/fail-point.ts'
import { writeParquet } from './parquet.ts'
import { partitionKey } from './record-objects.ts'
import type { Insertable } from 'kysely'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { Ground, Write } from '../ledger/scope.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { RecordPartitionsRow } from './tables.ts'

export const HOUR_MS = 3_600_000

/** Content of a partition. */
export interface Place {
  readonly environment: string
  readonly endpoint: string
  /** Start of the hour. */
  readonly hourMs: number
}

export type NewPartition = Insertable<RecordPartitionsRow>

/** Writes the object of a partition. Its row is inserted by the caller: without one the object is collected. @param records at least one */
export async function writePartition(
  { clock, newId, objects }: Pick<Ground, 'clock' | 'newId'> & { readonly objects: ObjectStore },
  place: Place,
  records: readonly PredictionRecord[],
): Promise<NewPartition> {
  const sorted = records.toSorted((a, b) => a.time - b.time)
  const id = newId()
  const key = partitionKey(place, id)
  const digester = new ContentDigester()
  const digested = async function* (): AsyncGenerator<Uint8Array> {
    for await (const bytes of writeParquet(sorted)) {
      digester.update(bytes)
      yield bytes
    }
  }
  await objects.put(key, digested())
  await faultPoint('records.partition')
  const { id: contentId, size, chunks } = digester.finish()
  return {
    id,
    environment: place.environment,
    endpoint: place.endpoint,
    hour_ms: place.hourMs,
    object_key: key,
    content_id: contentId,
    chunks: JSON.stringify(chunks),
    byte_count: size,
    row_count: sorted.length,
    from_ms: sorted[0]!.time,
    until_ms: sorted.at(-1)!.time,
    created_at: clock.epochMs(),
  }
}

/** Notes objects that nothing refers to from now on. @param since 0: they are let go at the next occasion */
export async function leave(write: Write, keys: readonly string[], since: number): Promise<void> {
  if (keys.length > 0)
    await write
      .insertInto('record_leftovers')
      .values(keys.map((object_key) => ({ object_key, since })))
      .onConflict((conflict) => conflict.column('object_key').doUpdateSet({ since }))
      .execute()
}
