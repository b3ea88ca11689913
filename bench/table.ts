/** The result: one row for each target, and how it is printed. */

export interface Row {
  readonly id: string
  readonly what: string
  /** What was measured on our side and on the other, with units. */
  readonly slipway: string
  readonly other: string
  readonly value: number
  /** Least and greatest value of the rounds. */
  readonly range: readonly [number, number] | undefined
  readonly unit: '' | ' ms' | ' MB'
  /** Undefined where there is nothing to reach. */
  readonly target: { readonly bound: 'min' | 'max'; readonly value: number } | undefined
  /** Failed requests in the measurements behind this row. */
  readonly errors: number
}

export function verdict({ target, value, errors }: Pick<Row, 'target' | 'value' | 'errors'>): 'ok' | 'missed' | 'errors' | '' {
  if (errors > 0) return 'errors'
  if (target === undefined) return ''
  return (target.bound === 'min' ? value >= target.value : value <= target.value) ? 'ok' : 'missed'
}

const HEAD = ['', 'Slipway', 'other', 'result', 'rounds', 'target', '']

/** One row for each comparison. */
export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => {
    const { range, target, unit, errors } = row
    const last = verdict(row)
    return [
      row.what,
      row.slipway,
      row.other,
      `${figure(row.value, unit)}${unit}`,
      range === undefined ? '' : `${figure(range[0], unit)} to ${figure(range[1], unit)}`,
      target === undefined ? '' : `${target.bound === 'min' ? '>=' : '<='} ${target.value}${unit}`,
      last === 'errors' ? `${errors} ERRORS` : last,
    ]
  })
  return markdownTable(HEAD, cells)
}

/** A Markdown table, so that it can be read and pasted. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, 3, ...rows.map((line) => line[column]?.length ?? 0)))
  const format = (line: readonly string[]): string => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [format(head), format(widths.map((width) => '-'.repeat(width))), ...rows.map(format)].join('\n')
}

function figure(value: number, unit: Row['unit']): string {
  return value.toFixed(unit === '' ? 2 : 0)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

export function rangeOf(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)]
}
