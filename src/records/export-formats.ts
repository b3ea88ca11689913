import { writeParquet } from './parquet.ts'
import type { PredictionRecord } from '../contract/prediction-record.ts'

export const EXPORT_FORMATS = ['parquet', 'jsonl', 'csv'] as const
/** Media types of the formats. */
const TYPES = { parquet: 'application/vnd.apache.parquet', jsonl: 'application/x-ndjson', csv: 'text/csv; charset=utf-8' } as const
export const EXPORT_TYPES: readonly string[] = Object.values(TYPES)
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** Columns of a CSV file; inputs and outputs are JSON. */
const CSV_COLUMNS = [
  'id',
  'time',
  'endpoint',
  'model',
  'version',
  'variant',
  'assigned',
  'segment',
  'assignment',
  'unit',
  'rows',
  'inputs',
  'outputs',
  'durationMs',
  'weight',
] as const satisfies readonly (keyof PredictionRecord)[]

/** Bytes that are sent together. */
const PIECE_CHARACTERS = 64 * 1024

/** Records as a file of one format, in bounded memory. */
export function writeExport(
  records: AsyncIterable<PredictionRecord>,
  format: ExportFormat,
): { readonly mediaType: string; readonly bytes: AsyncIterable<Uint8Array> } {
  switch (format) {
    case 'parquet':
      return { mediaType: TYPES.parquet, bytes: writeParquet(records) }
    case 'jsonl':
      return { mediaType: TYPES.jsonl, bytes: pieces(records, '', (record) => JSON.stringify(record)) }
    case 'csv':
      return { mediaType: TYPES.csv, bytes: pieces(records, `${CSV_COLUMNS.join(',')}\n`, csvLine) }
  }
}

async function* pieces(
  records: AsyncIterable<PredictionRecord>,
  header: string,
  write: (record: PredictionRecord) => string,
): AsyncGenerator<Uint8Array> {
  let text = header
  for await (const record of records) {
    text += `${write(record)}\n`
    if (text.length < PIECE_CHARACTERS) continue
    yield Buffer.from(text)
    text = ''
  }
  if (text !== '') yield Buffer.from(text)
}

function csvLine(record: PredictionRecord): string {
  return CSV_COLUMNS.map((name) => cell(name === 'time' ? new Date(record.time).toISOString() : record[name])).join(',')
}

/** RFC 4180, section 2. Text that a spreadsheet would take for a formula gets an apostrophe (OWASP, CSV injection). */
function cell(value: unknown): string {
  const text = value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
