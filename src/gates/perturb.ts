import { randomOf } from './significance.ts'
import type { GateChecks } from '../contract/gates.ts'
import type { Row } from './sample.ts'

export type InvarianceCheck = NonNullable<GateChecks['invariance']>[number]
export type DirectionalCheck = NonNullable<GateChecks['directional']>[number]

/** Changed rows, and which rows of the sample they were. Rows in which nothing changes are left out: they would prove nothing. */
export interface Perturbed {
  readonly rows: readonly Row[]
  readonly from: readonly number[]
}

const PERMUTATION_SEED = 1

/** The rows with everything changed that must not matter. */
export function perturbForInvariance(
  rows: readonly Row[],
  { set = {}, case: cases = {}, add = {}, permute = [] }: InvarianceCheck,
): Perturbed {
  const orders = permute.map((column) => [column, shuffled(rows.length)] as const)
  return changed(rows, (row, index) => {
    const next: Record<string, unknown> = { ...row, ...set }
    for (const [column, how] of Object.entries(cases))
      if (typeof row[column] === 'string') next[column] = how === 'upper' ? row[column].toUpperCase() : row[column].toLowerCase()
    for (const [column, amount] of Object.entries(add)) if (typeof row[column] === 'number') next[column] = row[column] + amount
    for (const [column, order] of orders) next[column] = rows[order[index]!]![column]
    return next
  })
}

/** The rows with more of one feature. */
export function perturbForDirection(rows: readonly Row[], { feature, add }: DirectionalCheck): Perturbed {
  return changed(rows, (row) => (typeof row[feature] === 'number' ? { ...row, [feature]: row[feature] + add } : row))
}

function changed(rows: readonly Row[], change: (row: Row, index: number) => Row): Perturbed {
  const all = rows.map((row, index) => ({ index, row: change(row, index) }))
  const moved = all.filter(({ index, row }) => Object.keys(row).some((column) => row[column] !== rows[index]![column]))
  return { rows: moved.map(({ row }) => row), from: moved.map(({ index }) => index) }
}

/** An order of the rows, always the same (Fisher-Yates). */
function shuffled(count: number): number[] {
  const random = randomOf(PERMUTATION_SEED)
  const order = Array.from({ length: count }, (_, index) => index)
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[order[last], order[other]] = [order[other]!, order[last]!]
  }
  return order
}
