import { parse } from 'csv-parse/sync'
import { messageOf, SlipwayError } from '../core/errors.ts'
import type { Signature } from './signature.ts'

/**
 * CSV (RFC 4180, header line first) as rows for `encodeRows`. Cells of numeric features become numbers; an empty cell is
 * an absent value, so that defaults and the NaN policy apply.
 */
export function rowsFromCsv(text: string, signature: Signature): Record<string, unknown>[] {
  let records: Record<string, string>[]
  try {
    records = parse(text, { columns: true, skip_empty_lines: true, trim: true, bom: true }) as Record<string, string>[]
  } catch (error) {
    throw new SlipwayError('SLW_BAD_REQUEST', `CSV: ${messageOf(error)}`)
  }
  if (records.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', 'CSV: expected a header line and at least one row')
  const textual = new Set(
    signature.features
      ?.filter((feature) => feature.spec.type === 'category' || feature.spec.type === 'string')
      .map((feature) => feature.spec.name),
  )
  if (signature.features === undefined) for (const input of signature.inputs) if (input.datatype === 'BYTES') textual.add(input.name)
  const only = signature.features === undefined && signature.inputs.length === 1 ? signature.inputs[0] : undefined
  return records.map((record) => {
    // One input of several columns and no names of features: the cells in their order are the row.
    if (only !== undefined && !Object.hasOwn(record, only.name))
      return Object.values(record).map((cell) => cellValue(cell, textual.has(only.name))) as unknown as Record<string, unknown>
    const row: Record<string, unknown> = {}
    for (const [name, cell] of Object.entries(record)) if (cell !== '') row[name] = cellValue(cell, textual.has(name))
    return row
  })
}

function cellValue(cell: string, textual: boolean): unknown {
  if (textual) return cell
  if (cell === '') return null
  if (cell === 'true' || cell === 'false') return cell === 'true'
  const number = Number(cell)
  if (Number.isInteger(number) && !Number.isSafeInteger(number)) return BigInt(cell)
  return Number.isNaN(number) && !/^nan$/i.test(cell) ? cell : number
}
