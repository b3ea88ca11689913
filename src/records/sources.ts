import { readVerified } from '../storage/objects/content-verifier.ts'
import { openParquet } from './parquet.ts'
import { ARRIVED } from './record-objects.ts'
import type { Selectable } from 'kysely'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { RecordBatchesRow, RecordPartitionsRow } from './tables.ts'

type Batch = Pick<Selectable<RecordBatchesRow>, 'object_key' | 'first_byte' | 'byte_count'>
type Partition = Pick<Selectable<RecordPartitionsRow>, 'object_key' | 'byte_count' | 'content_id' | 'chunks'>

async function joined(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** The records of one endpoint in a file as it arrived. @throws SLW_NOT_FOUND */
export async function readBatch(objects: ObjectStore, { object_key, first_byte, byte_count }: Batch): Promise<PredictionRecord[]> {
  return linesOf(await joined(await objects.get(object_key, { offset: first_byte, length: byte_count })))
}

function linesOf(bytes: Buffer): PredictionRecord[] {
  return bytes
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as PredictionRecord)
}

/** The records of a partition, group by group. @throws SLW_NOT_FOUND, SLW_STORE_CORRUPT */
export async function* readPartition(
  objects: ObjectStore,
  { object_key, byte_count, content_id, chunks }: Partition,
  order: 'oldest' | 'newest' = 'oldest',
): AsyncGenerator<PredictionRecord[]> {
  const content = { id: content_id, size: byte_count, chunks: JSON.parse(chunks) as string[] }
  const file = await openParquet(await joined(readVerified(objects, object_key, content)))
  for (let index = 0; index < file.groups; index++) yield await file.group(order === 'oldest' ? index : file.groups - 1 - index)
}

/** All records of an object that no row describes. @throws SLW_NOT_FOUND */
export async function readObject(objects: ObjectStore, key: string): Promise<PredictionRecord[]> {
  const bytes = await joined(await objects.get(key))
  if (key.startsWith(ARRIVED)) return linesOf(bytes)
  const file = await openParquet(bytes)
  const groups = await Promise.all(Array.from({ length: file.groups }, (_, index) => file.group(index)))
  return groups.flat()
}
