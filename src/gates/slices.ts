import { shortened } from './result.ts'
import type { Slice } from '../contract/gates.ts'
import type { Row } from './sample.ts'

/** Rows that belong together. */
export interface SliceRows {
  /** `plan = basic`, `tenure_months 12 to 24`. */
  readonly name: string
  readonly rows: readonly number[]
}

/** Slices of one column that are looked at: beyond it the column is an id, and not a way to share rows out. */
const SLICES_MAX = 200
const NAME_MAX = 200

/**
 * The slices of some rows, in the order of their names or bins. Rows without a value are a slice of their own.
 * @returns undefined for a column that no row has, or one with too many values
 */
export function slicesOf(rows: readonly Row[], { column, bins }: Slice): SliceRows[] | undefined {
  if (!rows.some((row) => row[column] !== undefined && row[column] !== null)) return undefined
  const found =
    bins === undefined
      ? byValue(rows, column)
      : byBin(
          rows,
          column,
          bins.toSorted((a, b) => a - b),
        )
  return found.length > SLICES_MAX
    ? undefined
    : found.map(({ name, rows: members }) => ({ name: shortened(name, NAME_MAX), rows: members }))
}

function byValue(rows: readonly Row[], column: string): SliceRows[] {
  const groups = Map.groupBy(rows.keys(), (row) => valueText(rows[row]![column]))
  return [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([value, members]) => ({ name: `${column} = ${value}`, rows: members }))
}

function valueText(value: unknown): string {
  if (value === undefined || value === null) return '(nothing)'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function byBin(rows: readonly Row[], column: string, cuts: readonly number[]): SliceRows[] {
  const groups = Map.groupBy(rows.keys(), (row) => {
    const value = rows[row]![column]
    const number = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : Number.NaN
    return Number.isNaN(number) ? -1 : cuts.filter((cut) => cut <= number).length
  })
  return [...groups].toSorted(([a], [b]) => a - b).map(([bin, members]) => ({ name: binName(column, cuts, bin), rows: members }))
}

function binName(column: string, cuts: readonly number[], bin: number): string {
  if (bin < 0) return `${column} = (no number)`
  if (bin === 0) return `${column} below ${cuts[0]}`
  return bin === cuts.length ? `${column} from ${cuts[bin - 1]}` : `${column} ${cuts[bin - 1]} to ${cuts[bin]}`
}
