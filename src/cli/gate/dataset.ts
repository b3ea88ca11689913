import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parse } from 'csv-parse'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { parquetRows } from '../../records/parquet.ts'
import { cellValue } from '../../signature/csv.ts'
import { farPlace } from '../model/far-place.ts'
import type { DatasetSpec } from '../../contract/gates.ts'
import type { Row } from '../../gates/gates.ts'
import type { FarPlaceOptions } from '../model/far-place.ts'

/** Rows of a dataset that have a label. */
export interface Dataset {
  readonly name: string
  readonly spec: DatasetSpec
  /** SHA-256 of the file. */
  readonly digest: string
  readonly rows: readonly Row[]
  /** Names of the rows, for people. */
  readonly names: readonly string[]
  readonly weights: Float64Array
  /** Rows without a label, which are left out. */
  readonly unlabelled: number
}

export interface ReadDatasetOptions extends FarPlaceOptions {
  /** Folder that paths are relative to. */
  readonly base: string
  /** Folder for what is downloaded. */
  readonly scratch: string
  /** Columns whose cells are text, whatever they look like (CSV). */
  readonly textual: ReadonlySet<string>
}

/** @throws SLW_PATH_NOT_FOUND, SLW_UNREACHABLE, SLW_STORE_UNAVAILABLE; SLW_INPUT_INVALID with the line, or with the columns that are there */
export async function readDataset(name: string, spec: DatasetSpec, options: ReadDatasetOptions): Promise<Dataset> {
  const path = await localFile(name, spec.file, options)
  const digest = await digestOf(path)
  const rows: Row[] = []
  const names: string[] = []
  const weights: number[] = []
  let [line, unlabelled] = [/\.(jsonl|ndjson|parquet)$/i.test(path) ? 0 : 1, 0]
  for await (const row of rowsOf(path, options.textual)) {
    line++
    if (line <= 2) requireColumns(row, name, spec)
    const label = row[spec.label]
    if (label === undefined || label === null) {
      unlabelled++
      continue
    }
    rows.push(row)
    names.push(spec.id === undefined ? `line ${line}` : String(row[spec.id] ?? `line ${line}`))
    weights.push(weightOf(row, { spec, place: `${spec.file}, line ${line}` }))
  }
  if (rows.length === 0)
    throw new SlipwayError('SLW_INPUT_INVALID', `dataset "${name}" (${spec.file}) has no row with a label in "${spec.label}"`)
  return { name, spec, digest, rows, names, weights: Float64Array.from(weights), unlabelled }
}

async function localFile(name: string, file: string, options: ReadDatasetOptions): Promise<string> {
  const target = join(options.scratch, `${name.replaceAll(/\W/g, '_')}-${basename(file.replace(/[?#].*$/, ''))}`)
  if (/^https?:\/\//i.test(file)) return await download(file, target)
  if (/^s3:\/\//i.test(file)) return await fromBucket(file, options)
  const path = resolve(options.base, file)
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() === true) return path
  throw new SlipwayError('SLW_PATH_NOT_FOUND', `dataset "${name}": ${path} is ${found === undefined ? 'not there' : 'no file'}`)
}

async function download(url: string, target: string): Promise<string> {
  const response = await fetch(url).catch((error: unknown) => {
    throw new SlipwayError('SLW_UNREACHABLE', `${url} does not answer: ${messageOf(error)}`)
  })
  if (!response.ok || response.body === null)
    throw new SlipwayError('SLW_UNREACHABLE', `${url} answers ${response.status}; expected the dataset`)
  await pipeline(Readable.fromWeb(response.body as never), createWriteStream(target))
  return target
}

async function fromBucket(location: string, options: ReadDatasetOptions): Promise<string> {
  using tree = await farPlace(location, options)
  const [file, ...more] = (await tree?.files()) ?? []
  if (tree === undefined || file === undefined || more.length > 0)
    throw new SlipwayError('SLW_NOT_FOUND', `${location} is ${file === undefined ? 'not there' : 'a folder'}; expected one file`)
  await tree.download(file, options.scratch)
  return join(options.scratch, file.path)
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

function rowsOf(path: string, textual: ReadonlySet<string>): AsyncIterable<Row> {
  if (/\.parquet$/i.test(path)) return parquetRows(path)
  return /\.(jsonl|ndjson)$/i.test(path) ? jsonRows(path) : csvRows(path, textual)
}

async function* jsonRows(path: string): AsyncIterable<Row> {
  let line = 0
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    line++
    if (text.trim() === '') continue
    let row: unknown
    try {
      row = JSON.parse(text)
    } catch (error) {
      throw new SlipwayError('SLW_INPUT_INVALID', `${path}, line ${line}: ${messageOf(error)}`)
    }
    if (row === null || typeof row !== 'object' || Array.isArray(row))
      throw new SlipwayError('SLW_INPUT_INVALID', `${path}, line ${line}: expected an object with a key for each column`)
    yield row as Row
  }
}

async function* csvRows(path: string, textual: ReadonlySet<string>): AsyncIterable<Row> {
  const columns = (header: string[]): string[] => {
    const twice = header.find((name, index) => header.indexOf(name) !== index)
    if (twice !== undefined) throw new Error(`the column "${twice}" stands twice in the header line`)
    return header
  }
  const cast = (cell: string, { header, column }: { header: boolean; column: string | number }): unknown =>
    header ? cell : cellValue(cell, textual.has(String(column)))
  // A stream that is piped does not hand its errors on.
  const file = createReadStream(path)
  const parser = parse({ columns, cast, bom: true, trim: true, skip_empty_lines: true })
  file.once('error', (error) => parser.destroy(error)).pipe(parser)
  try {
    for await (const row of parser as AsyncIterable<Row>) yield row
  } catch (error) {
    throw new SlipwayError('SLW_INPUT_INVALID', `${path}: ${messageOf(error)}`)
  }
}

/** Parquet and JSON leave out columns without a value, so that only the label must be there, in CSV, where all columns are. */
function requireColumns(row: Row, name: string, { label, weight, prediction, id, file }: DatasetSpec): void {
  if (/\.(jsonl|ndjson|parquet)$/i.test(file)) return
  for (const column of [label, weight, prediction, id])
    if (column !== undefined && !(column in row))
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `dataset "${name}" (${file}) has no column "${column}"; it has ${Object.keys(row).join(', ')}`,
      )
}

function weightOf(row: Row, { spec: { weight: column }, place }: { spec: DatasetSpec; place: string }): number {
  if (column === undefined) return 1
  const weight = Number(row[column] ?? Number.NaN)
  if (Number.isFinite(weight) && weight >= 0) return weight
  throw new SlipwayError(
    'SLW_INPUT_INVALID',
    `${place}: the weight "${column}" is ${JSON.stringify(row[column]) ?? 'missing'}; expected a number from 0`,
  )
}
