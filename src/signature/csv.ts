import { parse } from 'csv-parse/sync'
import { messageOf, SlipwayError } from '../core/errors.ts'
import type { Signature } from './signature.ts'

/**
 * CSV (RFC 4180, header line first) as rows for `encodeRows`. Cells of numeric features become numbers; an empty cell is
 * an absent value, so that defaults and the NaN policy apply.
 */
export function rowsFromCsv(text: string, signature: Signature): Record<string, unknown>[] {
  let records: string[][]
  try {
    records = parse(text, { skip_empty_lines: true, trim: true, bom: true }) as string[][]
  } catch (error) {
    throw new SlipwayError('SLW_BAD_REQUEST', `CSV: ${messageOf(error)}`)
  }
  const [header = [], ...lines] = records
  if (lines.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', 'CSV: expected a header line and at least one row')
  const textual = new Set(
    signature.features
      ?.filter((feature) => feature.spec.type === 'category' || feature.spec.type === 'string')
      .map((feature) => feature.spec.name),
  )
  if (signature.features === undefined) for (const input of signature.inputs) if (input.datatype === 'BYTES') textual.add(input.name)
  const only = signature.features === undefined && signature.inputs.length === 1 ? signature.inputs[0] : undefined
  // One input of several columns, and no names of features: the row is the cells in their order.
  if (only !== undefined && !header.includes(only.name)) {
    return lines.map((cells) => cells.map((cell) => cellValue(cell, textual.has(only.name))) as unknown as Record<string, unknown>)
  }
  const seen = new Set<string>()
  const twice = header.find((name) => seen.size === seen.add(name).size)
  if (twice !== undefined) throw new SlipwayError('SLW_BAD_REQUEST', `CSV: the column "${twice}" stands twice in the header line`)
  return lines.map((cells) => {
    const row: Record<string, unknown> = Object.create(null)
    for (const [index, cell] of cells.entries()) if (cell !== '') row[header[index]!] = cellValue(cell, textual.has(header[index]!))
    return row
  })
}

function cellValue(cell: string, textual: boolean): unknown {
  if (textual) return cell
  if (cell === '') return null
  if (cell === 'true' || cell === 'false') return cell === 'true'
  const number = Number(cell)
  if (Number.isInteger(number) && !Number.isSafeInteger(number) && /^[+-]?\d+$/.test(cell)) return BigInt(cell.replace('+', ''))
  return Number.isNaN(number) && !/^nan$/i.test(cell) ? cell : number
}
