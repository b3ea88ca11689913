/** Tables of other servers, by columns or by rows, as the rows that signatures read. */
import { inputInvalid, SlipwayError } from '../../core/errors.ts'
import { parseJson } from '../../tensor/json-reader.ts'
import { columnOrder, keysMax } from '../../signature/csv.ts'
import type { Signature } from '../../signature/signature.ts'
import type { JsonValue } from '../../tensor/json-reader.ts'
import type { RequestLimits } from '../limits.ts'

export type JsonObject = { [key: string]: JsonValue }

export function isObject(value: unknown): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** A body of JSON, within the limits of rows. @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED */
export function parseRows(body: Buffer, signature: Signature, limits: RequestLimits): JsonValue {
  if (body.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', 'the body is empty; expected JSON')
  return parseJson(body, { nesting: limits.jsonNesting, keys: keysMax(signature), objects: Math.max(1_000_000, 2 * limits.rows) })
}

function invalid(path: string, message: string): SlipwayError {
  return inputInvalid([{ path, message }], 'SLW_BAD_REQUEST')
}

/** Lists of one length by name, as rows: objects of one value by name. @throws SLW_BAD_REQUEST where the lengths differ */
export function rowsOfColumns(columns: JsonObject, path: string): JsonObject[] {
  const names = Object.keys(columns)
  const [first] = names
  if (first === undefined) throw invalid(path, 'expected an object with a list for each input, found an empty one')
  const lists = names.map((name) => {
    const list = columns[name]
    if (!Array.isArray(list)) throw invalid(`${path}.${name}`, 'expected a list with a value for each row')
    return list
  })
  const rows = lists[0]!.length
  const other = lists.findIndex((list) => list.length !== rows)
  if (other > 0) throw invalid(`${path}.${names[other]}`, `has ${lists[other]!.length} rows, "${first}" has ${rows}`)
  return Array.from({ length: rows }, (_, row) => rowOf(names, (index) => lists[index]![row]!))
}

/**
 * A table as pandas writes it with `orient="split"`: rows of cells, and the names of the columns.
 * @throws SLW_BAD_REQUEST
 */
export function rowsOfSplit(split: JsonValue, path: string, signature: Signature): JsonValue[] {
  if (!isObject(split)) throw invalid(path, `expected an object with "data", and "columns" and "index" where they matter`)
  const { data, columns, index: _index, ...rest } = split
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw invalid(`${path}.${unknown}`, 'unknown key; a table in this form has "columns", "index" and "data"')
  if (!Array.isArray(data)) throw invalid(`${path}.data`, 'expected a list of rows')
  if (columns === undefined || columns === null) return data
  if (!Array.isArray(columns)) throw invalid(`${path}.columns`, 'expected a list of names')
  const names = columns.map(String)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw invalid(`${path}.columns`, `"${twice}" stands there twice`)
  const wrong = data.findIndex((row) => !Array.isArray(row) || row.length !== names.length)
  if (wrong >= 0) throw invalid(`${path}.data[${wrong}]`, `expected a list of ${names.length} values, one for each column`)
  return tableRows(names, data as JsonValue[][], signature)
}

/** Rows that are objects of values by name, as pandas writes them with `orient="records"`. */
export function rowsOfRecords(records: JsonValue, path: string, signature: Signature): JsonValue[] {
  if (!Array.isArray(records)) throw invalid(path, 'expected a list of rows, each an object of values by name')
  if (!records.every(isObject)) return records
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))]
  if (!isPlain(names, signature)) return records.map((record) => known(record, signature))
  const wrong = records.findIndex((record) => names.some((name) => record[name] === undefined))
  if (wrong >= 0)
    throw invalid(
      `${path}[${wrong}]`,
      `has no "${names.find((name) => records[wrong]![name] === undefined)}", which other rows have; every row has the same columns`,
    )
  const order = columnOrder(names, signature) ?? names.map((_, index) => index)
  return records.map((record) => order.map((index) => record[names[index]!]!))
}

/** Whether a row, or columns, are named as the columns of the only input are: they are a table then. */
export function isTable(value: JsonValue | undefined, { columns, inputs }: Signature): boolean {
  if (columns === undefined || !isObject(value)) return false
  return !inputs.some(({ name }) => Object.hasOwn(value, name)) && columns.some((name) => Object.hasOwn(value, name))
}

function tableRows(names: readonly string[], data: readonly JsonValue[][], signature: Signature): JsonValue[] {
  if (isPlain(names, signature)) {
    const order = columnOrder(names, signature)
    return order === undefined ? [...data] : data.map((cells) => order.map((index) => cells[index]!))
  }
  return data.map((cells) =>
    known(
      rowOf(names, (index) => cells[index]!),
      signature,
    ),
  )
}

/** Whether the cells of a table are the row of the only input: it then is an array, and its columns may have any name. */
function isPlain(names: readonly string[], { features, inputs }: Signature): boolean {
  return features === undefined && inputs.length === 1 && !names.includes(inputs[0]!.name)
}

/** A table may have columns that a model without features does not ask for, as in other servers. */
function known(row: JsonObject, { features, inputs }: Signature): JsonObject {
  if (features !== undefined) return row
  const names = inputs.map(({ name }) => name).filter((name) => Object.hasOwn(row, name))
  return rowOf(names, (index) => row[names[index]!]!)
}

function rowOf(names: readonly string[], valueAt: (index: number) => JsonValue): JsonObject {
  const row = Object.create(null) as JsonObject
  for (const [index, name] of names.entries()) row[name] = valueAt(index)
  return row
}
