import { setImmediate as nextTurn } from 'node:timers/promises'
import { messageOf, SlipwayError } from '../core/errors.ts'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { BasicType } from 'hyparquet-writer'

interface Column {
  readonly name: keyof PredictionRecord
  readonly type: BasicType
  readonly nullable?: boolean
  /** Whether the footer has the least and the greatest value. */
  readonly statistics?: boolean
}

/** The columns of a file, named as the fields of a record; values of a field that may be missing are null. */
const COLUMNS: readonly Column[] = [
  { name: 'id', type: 'STRING' },
  { name: 'time', type: 'TIMESTAMP', statistics: true },
  { name: 'endpoint', type: 'STRING' },
  { name: 'model', type: 'STRING' },
  { name: 'version', type: 'STRING' },
  { name: 'variant', type: 'STRING' },
  { name: 'assigned', type: 'STRING' },
  { name: 'segment', type: 'INT32' },
  { name: 'assignment', type: 'STRING' },
  { name: 'unit', type: 'STRING', nullable: true },
  { name: 'rows', type: 'INT32' },
  { name: 'inputs', type: 'JSON' },
  { name: 'outputs', type: 'JSON' },
  { name: 'durationMs', type: 'DOUBLE' },
  { name: 'weight', type: 'DOUBLE' },
]

/** Rows that are encoded at once, and the characters of their values: what others ask waits meanwhile. */
const GROUP_ROWS = 2000
const GROUP_CHARACTERS = 4 * 1024 * 1024
const INT32_MAX = 2 ** 31 - 1

/** Makes a Parquet file (Snappy) of records, in the order in which they come. Holds a group of rows. */
export async function* writeParquet(records: AsyncIterable<PredictionRecord> | Iterable<PredictionRecord>): AsyncGenerator<Uint8Array> {
  const { ByteWriter, ParquetWriter, schemaFromColumnData } = await import('hyparquet-writer')
  const bytes = new ByteWriter()
  const schema = schemaFromColumnData({ columnData: columnsOf([]) })
  const writer = new ParquetWriter({ writer: bytes, schema, createdBy: 'slipway' })
  const taken = (): Uint8Array => {
    const piece = new Uint8Array(bytes.buffer.slice(0, bytes.index))
    bytes.index = 0
    return piece
  }
  for await (const group of groupsOf(records)) {
    await writer.write({ columnData: columnsOf(group), rowGroupSize: GROUP_ROWS })
    yield taken()
    await nextTurn()
  }
  await writer.finish()
  yield taken()
}

async function* groupsOf(records: AsyncIterable<PredictionRecord> | Iterable<PredictionRecord>): AsyncGenerator<PredictionRecord[]> {
  let group: PredictionRecord[] = []
  let characters = 0
  for await (const record of records) {
    group.push(record)
    characters += JSON.stringify([record.inputs, record.outputs]).length
    if (group.length < GROUP_ROWS && characters < GROUP_CHARACTERS) continue
    yield group
    group = []
    characters = 0
  }
  if (group.length > 0) yield group
}

function columnsOf(group: readonly PredictionRecord[]) {
  return COLUMNS.map(({ nullable = false, statistics = false, ...column }) => ({
    ...column,
    nullable,
    statistics,
    data: group.map((record) => valueOf(record, column.name)),
  }))
}

function valueOf(record: PredictionRecord, name: keyof PredictionRecord): unknown {
  if (name === 'time') return new Date(record.time)
  if (name === 'segment' || name === 'rows') return Math.min(record[name], INT32_MAX)
  return record[name] ?? null
}

/** A Parquet file in memory. */
export interface ParquetFile {
  readonly groups: number
  /** Records of one group of rows. */
  group(index: number): Promise<PredictionRecord[]>
}

export async function openParquet(bytes: Uint8Array): Promise<ParquetFile> {
  const { parquetMetadataAsync, parquetReadObjects } = await import('hyparquet')
  const { buffer, byteOffset, byteLength } = bytes
  const file = {
    byteLength,
    slice: (start: number, end: number = byteLength) => buffer.slice(byteOffset + start, byteOffset + end) as ArrayBuffer,
  }
  const metadata = await parquetMetadataAsync(file)
  const counts = metadata.row_groups.map(({ num_rows: rows }) => Number(rows))
  return {
    groups: counts.length,
    async group(index) {
      const rowStart = counts.slice(0, index).reduce((sum, count) => sum + count, 0)
      const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd: rowStart + counts[index]! })
      return rows.map(recordOf)
    },
  }
}

function recordOf(row: Record<string, unknown>): PredictionRecord {
  const { time, unit, ...rest } = row as Omit<PredictionRecord, 'time' | 'unit'> & { time: Date; unit?: string | null }
  return { ...rest, time: time.getTime(), ...(unit !== null && unit !== undefined && { unit }) }
}

/**
 * The rows of a Parquet file, a group after the other: whole numbers of 64 bits as numbers, times as milliseconds, empty cells left out.
 * @throws SLW_INPUT_INVALID for what is no Parquet file, or is compressed by what is not read (all but Snappy)
 */
export async function* parquetRows(path: string): AsyncGenerator<Record<string, unknown>> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import('hyparquet')
  try {
    const file = await asyncBufferFromFile(path)
    const metadata = await parquetMetadataAsync(file)
    let rowStart = 0
    for (const { num_rows: count } of metadata.row_groups) {
      const rowEnd = rowStart + Number(count)
      for (const row of await parquetReadObjects({ file, metadata, rowStart, rowEnd })) yield plain(row)
      rowStart = rowEnd
    }
  } catch (error) {
    throw new SlipwayError('SLW_INPUT_INVALID', `${path}: ${messageOf(error)}`)
  }
}

function plain(row: Record<string, unknown>): Record<string, unknown> {
  const cells = Object.entries(row).filter(([name, value]) => value !== null && value !== undefined && !name.startsWith('__'))
  return Object.fromEntries(
    cells.map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value instanceof Date ? value.getTime() : value]),
  )
}
