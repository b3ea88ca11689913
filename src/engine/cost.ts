/** Predicted time of a run: `fixedUs + perRowUs * rows`, microseconds. */
export interface Cost {
  readonly fixedUs: number
  readonly perRowUs: number
}

export function predictUs(cost: Cost, rows: number): number {
  return cost.fixedUs + cost.perRowUs * rows
}

/**
 * The line through two measured points, neither part negative. A further row costs no more than the first: one slow run of a few
 * rows, on a busy machine, would otherwise foretell hours for thousands of them.
 */
export function fitCost(one: { rows: number; us: number }, many: { rows: number; us: number }): Cost {
  const slope = (many.us - one.us) / Math.max(1, many.rows - one.rows)
  const perRowUs = Math.min(Math.max(0, slope), one.us / Math.max(1, one.rows))
  return { fixedUs: Math.max(0, one.us - perRowUs * one.rows), perRowUs }
}

/** Weight that a run keeps when the next one comes: the model looks back about fifty runs. */
const DECAY = 0.98
/** The probe counts as this many runs, so that a first odd one does not decide. */
const PROBE_WEIGHT = 5
/**
 * One run counts as no more than so many times what was expected of it. A single run that waited for a busy main thread takes a
 * hundred times as long, and a queue of hundreds of runs would be thought to take minutes. Each run that takes longer makes the next
 * one believed twice as much, and each that does not a little less: so what happens to one run in ten is learned, and what
 * happens to one in a hundred is not.
 */
const SURPRISE = 4
const SURPRISE_MOST = 1e6
const SURPRISE_DECAY = 0.95
/** Microseconds by which a run may always take longer: an expectation of nothing could not grow. */
const JITTER_US = 100

/**
 * Learns the cost of a run from the runs themselves: the least-squares line through rows and time, recent runs weighing
 * more and none far more than what was expected of it. Starts from what the probe measured.
 */
export class CostModel {
  #weight = 0
  #rows = 0
  #us = 0
  #rowsRows = 0
  #rowsUs = 0
  #rowsMost = 1
  #surprise = SURPRISE
  #cost: Cost | undefined

  constructor(probed: Cost | undefined) {
    this.#cost = probed
    if (probed === undefined) return
    for (const rows of [1, 16]) this.#add(rows, predictUs(probed, rows), PROBE_WEIGHT)
  }

  get cost(): Cost | undefined {
    return this.#cost
  }

  /**
   * What `runs` runs of `rows` rows in all take at least; undefined while nothing is known. Further than to the largest run that was
   * seen the line is not drawn: the slope of a few small runs, on a busy machine, would foretell hours for thousands of rows.
   */
  atLeastUs(rows: number, runs = 1): number | undefined {
    const cost = this.#cost
    return cost === undefined ? undefined : runs * cost.fixedUs + cost.perRowUs * Math.min(rows, Math.max(1, runs) * this.#rowsMost)
  }

  /** A run of so many rows took so long, all in all. */
  observe(rows: number, us: number): void {
    this.#weight *= DECAY
    this.#rows *= DECAY
    this.#us *= DECAY
    this.#rowsRows *= DECAY
    this.#rowsUs *= DECAY
    const most = this.#mostUs(rows)
    this.#surprise = us > most ? Math.min(this.#surprise * 2, SURPRISE_MOST) : Math.max(SURPRISE, this.#surprise * SURPRISE_DECAY)
    this.#add(rows, Math.min(us, most), 1)
    this.#fit()
  }

  /** What a run is taken to last at most, however long it lasted. A larger run than any before may be as slow per row as the largest. */
  #mostUs(rows: number): number {
    if (this.#cost === undefined) return Number.POSITIVE_INFINITY
    const within = predictUs(this.#cost, Math.min(rows, this.#rowsMost))
    return this.#surprise * within * Math.max(1, rows / this.#rowsMost) + JITTER_US
  }

  #add(rows: number, us: number, weight: number): void {
    this.#rowsMost = Math.max(this.#rowsMost, rows)
    this.#weight += weight
    this.#rows += weight * rows
    this.#us += weight * us
    this.#rowsRows += weight * rows * rows
    this.#rowsUs += weight * rows * us
  }

  #fit(): void {
    const meanRows = this.#rows / this.#weight
    const meanUs = this.#us / this.#weight
    const spread = this.#rowsRows / this.#weight - meanRows * meanRows
    // Runs of one size tell nothing of the slope: the last one known is kept.
    const slope = spread > 0.01 ? (this.#rowsUs / this.#weight - meanRows * meanUs) / spread : (this.#cost?.perRowUs ?? 0)
    const perRowUs = Math.min(Math.max(0, slope), meanUs / Math.max(1, meanRows))
    this.#cost = { fixedUs: Math.max(0, meanUs - perRowUs * meanRows), perRowUs }
  }
}
