import { parse } from 'csv-parse/sync'
import { inputInvalid, messageOf, SlipwayError } from '../core/errors.ts'
import { toJson } from '../tensor/json-writer.ts'
import type { Signature } from './signature.ts'

/** Bytes of CSV as text. @param charset as the content type names it. @throws SLW_UNSUPPORTED_MEDIA_TYPE; SLW_BAD_REQUEST for bytes that are none of it */
export function csvText(bytes: Uint8Array, charset = 'utf-8'): string {
  let decoder: InstanceType<typeof TextDecoder>
  try {
    decoder = new TextDecoder(charset, { fatal: true })
  } catch {
    throw new SlipwayError(
      'SLW_UNSUPPORTED_MEDIA_TYPE',
      `charset "${charset}" is not known; send UTF-8, or one of the WHATWG encodings such as iso-8859-1`,
    )
  }
  try {
    return decoder.decode(bytes)
  } catch {
    throw new SlipwayError(
      'SLW_BAD_REQUEST',
      `CSV: the body is not ${decoder.encoding.toUpperCase()}; name its encoding, such as Content-Type: text/csv; charset=iso-8859-1`,
    )
  }
}

/**
 * CSV (RFC 4180, header line first) as rows for `encodeRows`. Cells of numeric features become numbers; an empty cell means the same as
 * `null` in JSON.
 * @param rowsMax rows that are read, and one more. Default: all
 * @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED
 */
export function rowsFromCsv(text: string, signature: Signature, rowsMax: number = Number.MAX_SAFE_INTEGER - 2): Record<string, unknown>[] {
  // One row more than allowed, which tells that there are too many.
  const records = recordsOf(text, signature, rowsMax + 2)
  const [header = [], ...lines] = records
  if (lines.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', 'CSV: expected a header line and at least one row')
  const textual = textColumns(signature)
  const only = signature.features === undefined && signature.inputs.length === 1 ? signature.inputs[0] : undefined
  // One input of several columns, and no names of features: the row is the cells in their order.
  if (only !== undefined && !header.includes(only.name)) {
    const order = columnOrder(header, signature)
    const inOrder = (cells: readonly string[]): readonly string[] => order?.map((index) => cells[index]!) ?? cells
    return lines.map((cells) => inOrder(cells).map((cell) => cellValue(cell, textual.has(only.name))) as unknown as Record<string, unknown>)
  }
  const seen = new Set<string>()
  const twice = header.find((name) => seen.size === seen.add(name).size)
  if (twice !== undefined) throw new SlipwayError('SLW_BAD_REQUEST', `CSV: the column "${twice}" stands twice in the header line`)
  return lines.map((cells) => {
    const row: Record<string, unknown> = Object.create(null)
    for (const [index, cell] of cells.entries()) row[header[index]!] = cellValue(cell, textual.has(header[index]!))
    return row
  })
}

/**
 * CSV without a header line as rows for `encodeRows`: the cells are the values of features or inputs in their order; a feature that is a list
 * has a cell for each of its values.
 * @param rowsMax as in {@link rowsFromCsv}
 * @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED
 */
export function cellsFromCsv(text: string, signature: Signature, rowsMax: number = Number.MAX_SAFE_INTEGER - 2): unknown[] {
  const records = recordsOf(text, signature, rowsMax + 1)
  if (records.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', 'CSV: expected at least one row')
  const { features, inputs } = signature
  const textual = textColumns(signature)
  const [only] = inputs
  if (features === undefined && inputs.length === 1 && only !== undefined)
    return records.map((cells) => cells.map((cell) => cellValue(cell, textual.has(only.name))))
  const columns =
    features?.map(({ spec: { name, length } }) => ({ name, length })) ?? inputs.map(({ name }) => ({ name, length: undefined }))
  const width = columns.reduce((sum, { length }) => sum + (length ?? 1), 0)
  return records.map((cells, index) => {
    if (cells.length !== width)
      throw new SlipwayError(
        'SLW_BAD_REQUEST',
        `CSV: row ${index + 1} has ${cells.length} cells, expected ${width}: ${columns.map(({ name }) => name).join(', ')}`,
      )
    let at = 0
    const row: Record<string, unknown> = Object.create(null)
    for (const { name, length } of columns) {
      const values = cells.slice(at, (at += length ?? 1)).map((cell) => cellValue(cell, textual.has(name)))
      row[name] = length === undefined ? values[0] : values
    }
    return row
  })
}

/** @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED */
function recordsOf(text: string, signature: Signature, to: number): string[][] {
  requireFewColumns(text, keysMax(signature))
  try {
    return parse(text, { to, skip_empty_lines: true, trim: true, bom: true }) as string[][]
  } catch (error) {
    throw new SlipwayError('SLW_BAD_REQUEST', `CSV: ${messageOf(error)}`)
  }
}

/** Path of issues about the columns of a table as a whole. */
export const COLUMNS = 'columns'

/**
 * Places of the columns that a model takes among the names of a table; undefined where its columns have no names.
 * @throws SLW_INPUT_INVALID for one that the table lacks, with {@link COLUMNS} as its path
 */
export function columnOrder(names: readonly string[], { columns }: Pick<Signature, 'columns'>): readonly number[] | undefined {
  return columns?.map((column) => {
    const index = names.indexOf(column)
    if (index < 0) throw inputInvalid([{ path: COLUMNS, message: `there is no "${column}"; the model takes ${columns.join(', ')}` }])
    return index
  })
}

/** Columns of a table, and keys of a row, that are read at most: twice what the model takes, and ten thousand in any case. */
export function keysMax({ features, inputs }: Pick<Signature, 'features' | 'inputs'>): number {
  const elements = inputs.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * Math.max(1, size), 1), 0)
  return Math.max(10_000, 2 * (features?.length ?? 0), 2 * elements)
}

/** @throws SLW_LIMIT_EXCEEDED before anything is read of what lies behind the first line */
function requireFewColumns(text: string, columnsMax: number): void {
  const end = text.indexOf('\n')
  const header = end < 0 ? text : text.slice(0, end)
  let columns = 1
  for (let at = header.indexOf(','); at >= 0; at = header.indexOf(',', at + 1))
    if (++columns > columnsMax) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `CSV: the header line has more than ${columnsMax} columns`)
}

/** Names of the columns whose cells are text, whatever they look like. */
export function textColumns({ features, inputs }: Signature): ReadonlySet<string> {
  if (features === undefined) return new Set(inputs.filter(({ datatype }) => datatype === 'BYTES').map(({ name }) => name))
  return new Set(features.filter(({ spec: { type } }) => type === 'category' || type === 'string').map(({ spec }) => spec.name))
}

/** A cell as the value that JSON would have: empty is null. @param textual whether it is text, whatever it looks like */
export function cellValue(cell: string, textual: boolean): unknown {
  if (cell === '') return null
  if (textual) return cell
  if (cell === 'true' || cell === 'false') return cell === 'true'
  const infinity = /^([+-]?)inf(?:inity)?$/i.exec(cell)
  if (infinity !== null) return infinity[1] === '-' ? -Infinity : Infinity
  if (/^nan$/i.test(cell)) return Number.NaN
  // `0x1F` and the like are no numbers of CSV.
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(cell)) return cell
  const number = Number(cell)
  return Number.isInteger(number) && !Number.isSafeInteger(number) && /^[+-]?\d+$/.test(cell) ? BigInt(cell.replace('+', '')) : number
}

/**
 * Answers as CSV (RFC 4180): a column for each key, in the order in which they come up; what lies deeper has its path (`probabilities.churn`),
 * and lists are written as JSON.
 */
export function csvOf(answers: readonly Readonly<Record<string, unknown>>[]): string {
  const rows = answers.map((answer) => new Map(cellsOf(answer)))
  const header = [...new Set(rows.flatMap((row) => [...row.keys()]))]
  const lines = [header, ...rows.map((row) => header.map((name) => row.get(name) ?? ''))]
  return lines.map((cells) => `${cells.map(quoted).join(',')}\r\n`).join('')
}

function cellsOf(value: object, path = ''): [name: string, cell: string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, string][] => {
    const name = path === '' ? key : `${path}.${key}`
    if (inner === null || inner === undefined) return [[name, '']]
    if (typeof inner === 'object' && !Array.isArray(inner)) return cellsOf(inner, name)
    return [[name, typeof inner === 'object' ? toJson(inner) : String(inner)]]
  })
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}
