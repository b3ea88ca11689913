import { setImmediate as nextTurn } from 'node:timers/promises'
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { readRecord } from '../contract/prediction-record.ts'
import { arrivedKey } from './record-objects.ts'
import { isCurrent, readForgotten } from './forgotten.ts'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { Ground } from '../ledger/scope.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Forgotten } from './forgotten.ts'

/** Identity of a file of records: the process that wrote it, and its number there. */
export interface FileKey {
  readonly environment: string
  readonly bootId: string
  readonly sequence: number
}

export interface Arrival extends FileKey {
  /** By the clock of the server: if that is wrong, its records are shifted to the time of ours. */
  readonly sentAt: number
  /** When its first byte came, by ours. */
  readonly arrivedAt: number
  /** Lines of JSON. */
  readonly text: string
}

/** Numbers of records that were stored, and of those that were not: invalid, too old, or of a unit that is forgotten. */
export interface Arrived {
  readonly kept: number
  readonly dropped: number
}

export interface ArrivalsOptions extends Ground {
  readonly objects: ObjectStore
  /** Age from which records are not kept. */
  readonly lifeMs: number
}

/** Age from which records are not taken: files are known, and forgotten units are, for a day longer. */
export const ARRIVES_MS = 8 * 24 * 3_600_000
/** Smaller errors of a server's clock are ignored. */
export const SKEW_MS = 5000
const TRIES = 5
/** Lines that are read before others get their turn: about two milliseconds. */
const LINES_AT_ONCE = 20

interface Lines {
  readonly endpoint: string
  readonly bytes: Buffer
  readonly rows: number
  readonly fromMs: number
  readonly untilMs: number
}

/**
 * Stores a file of records: its bytes first, then its rows, so that what is acknowledged is on the disk. A file that has arrived before
 * changes nothing.
 * @throws SLW_CONFLICT where units are forgotten faster than it is stored
 */
export async function storeArrival(options: ArrivalsOptions, arrival: Arrival): Promise<Arrived> {
  for (let tried = 0; tried < TRIES; tried++) {
    if (await hasArrived(options, arrival)) return { kept: 0, dropped: 0 }
    const forgotten = await readForgotten(options.database.read, arrival.environment)
    const { records, dropped } = await accepted(options, arrival, forgotten)
    const lines = [...Map.groupBy(records, ({ endpoint }) => endpoint)].map(([endpoint, some]) => linesOf(endpoint, some))
    const objectKey = arrivedKey(arrival.environment, options.newId())
    if (lines.length > 0) await options.objects.put(objectKey, bytesOf(lines))
    await faultPoint('records.arrived')
    const stored = await storeRows(options, { arrival, objectKey, lines, forgotten })
    if (stored !== 'kept' && lines.length > 0) await options.objects.delete(objectKey)
    if (stored === 'kept') return { kept: records.length, dropped }
    if (stored === 'known') return { kept: 0, dropped: 0 }
  }
  throw new SlipwayError('SLW_CONFLICT', 'units are being forgotten: records are stored after that', { retryAfterMs: 1000 })
}

async function hasArrived({ database }: Ground, { environment, bootId, sequence }: FileKey): Promise<boolean> {
  const row = await database.read
    .selectFrom('record_keys')
    .select('sequence')
    .where('environment', '=', environment)
    .where('boot_id', '=', bootId)
    .where('sequence', '=', sequence)
    .executeTakeFirst()
  return row !== undefined
}

/** The records that are to be kept, in the order of time. Others are let in between. */
async function accepted(
  { clock, lifeMs }: ArrivalsOptions,
  { environment, sentAt, arrivedAt, text }: Arrival,
  forgotten: Forgotten,
): Promise<{ readonly records: PredictionRecord[]; readonly dropped: number }> {
  const now = clock.epochMs()
  // What takes long to come is no fault of a clock.
  const skew = Math.abs(sentAt - arrivedAt) < SKEW_MS ? 0 : sentAt - arrivedAt
  const oldest = now - Math.min(ARRIVES_MS, lifeMs)
  const lines = text.split('\n').filter((line) => line !== '')
  const records: PredictionRecord[] = []
  for (const [index, line] of lines.entries()) {
    if (index % LINES_AT_ONCE === LINES_AT_ONCE - 1) await nextTurn()
    const read = readRecord(line)
    if ('issues' in read) continue
    const record = { ...read.value, time: Math.max(0, Math.min(now, read.value.time - skew)) }
    // Whichever time is right: what may be from before a unit was forgotten is dropped.
    const earliest = { ...record, time: Math.min(record.time, read.value.time) }
    if (record.time >= oldest && !forgotten.has(environment, earliest)) records.push(record)
  }
  return { records: records.toSorted((a, b) => a.time - b.time), dropped: lines.length - records.length }
}

function linesOf(endpoint: string, records: readonly PredictionRecord[]): Lines {
  return {
    endpoint,
    bytes: Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join('')),
    rows: records.length,
    fromMs: records[0]!.time,
    untilMs: records.at(-1)!.time,
  }
}

async function* bytesOf(lines: readonly Lines[]): AsyncGenerator<Uint8Array> {
  for (const { bytes } of lines) yield bytes
}

interface Rows {
  readonly arrival: Arrival
  readonly objectKey: string
  readonly lines: readonly Lines[]
  readonly forgotten: Forgotten
}

/** @returns `known` where the file has arrived meanwhile, `late` where something was forgotten meanwhile */
async function storeRows(
  { database, clock }: ArrivalsOptions,
  { arrival, objectKey, lines, forgotten }: Rows,
): Promise<'kept' | 'known' | 'late'> {
  const { environment, bootId: boot_id, sequence } = arrival
  const key = { environment, boot_id, sequence, received_at: clock.epochMs() }
  return await database.write(async (write) => {
    if (!(await isCurrent(write, forgotten))) return 'late'
    const { numInsertedOrUpdatedRows } = await write
      .insertInto('record_keys')
      .values(key)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst()
    if (numInsertedOrUpdatedRows !== 1n) return 'known'
    let first_byte = 0
    for (const { endpoint, bytes, rows, fromMs, untilMs } of lines) {
      await write
        .insertInto('record_batches')
        .values({
          ...key,
          endpoint,
          object_key: objectKey,
          first_byte,
          byte_count: bytes.length,
          row_count: rows,
          from_ms: fromMs,
          until_ms: untilMs,
        })
        .execute()
      first_byte += bytes.length
    }
    await faultPoint('records.kept')
    return 'kept'
  })
}
