/** A number as people read it: four digits that count. */
export function shortly(value: number): string {
  return Number.isNaN(value) ? 'not defined' : String(Number(value.toPrecision(4)))
}

export function percent(share: number): string {
  return Number.isNaN(share) ? 'not defined' : `${Number((100 * share).toPrecision(3))} %`
}

/** Numbers of a result; those that are not defined are left out. */
export function numbersOf(values: Readonly<Record<string, number | undefined>>): Record<string, number> {
  const found = Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== undefined && Number.isFinite(entry[1]))
  return Object.fromEntries(found)
}

/** `1 row`, `3 rows`. */
export function rowsText(count: number): string {
  return `${count} row${count === 1 ? '' : 's'}`
}
