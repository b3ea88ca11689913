/** Predicted time of a run: `fixedUs + perRowUs * rows`, microseconds. */
export interface Cost {
  readonly fixedUs: number
  readonly perRowUs: number
}

export function predictUs(cost: Cost, rows: number): number {
  return cost.fixedUs + cost.perRowUs * rows
}

/** The line through two measured points, neither part negative. */
export function fitCost(one: { rows: number; us: number }, many: { rows: number; us: number }): Cost {
  const perRowUs = Math.max(0, (many.us - one.us) / Math.max(1, many.rows - one.rows))
  return { fixedUs: Math.max(0, one.us - perRowUs * one.rows), perRowUs }
}
