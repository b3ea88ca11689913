/** Predicted time of a run: `fixedUs + perRowUs * rows`, microseconds. */
export interface Cost {
  readonly fixedUs: number
  readonly perRowUs: number
}

export function predictUs(cost: Cost, rows: number): number {
  return cost.fixedUs + cost.perRowUs * rows
}

/**
 * Fits a line through two measured points; neither part is negative. A further row costs at most as much as the first: otherwise one slow
 * run of a few rows, on a busy machine, would predict hours for thousands of rows.
 */
export function fitCost(one: { rows: number; us: number }, many: { rows: number; us: number }): Cost {
  const slope = (many.us - one.us) / Math.max(1, many.rows - one.rows)
  const perRowUs = Math.min(Math.max(0, slope), one.us / Math.max(1, one.rows))
  return { fixedUs: Math.max(0, one.us - perRowUs * one.rows), perRowUs }
}

/** Factor by which the weight of earlier runs shrinks at each run: the model looks back about fifty runs. */
const DECAY = 0.98
/** Weight of each point of the probe, in runs, so that one odd first run does not decide. */
const PROBE_WEIGHT = 5
/**
 * Cap on the time that a run is learned with, as a multiple of its predicted time. A single run that waited for a busy main thread takes a
 * hundred times as long, and a queue of hundreds of runs would be predicted to take minutes. Each run above the cap doubles the cap, and
 * each run below lowers it a little: so a delay of one run in ten is learned, and a delay of one in a hundred is not.
 */
const SURPRISE = 4
const SURPRISE_MOST = 1e6
const SURPRISE_DECAY = 0.95
/** Microseconds that are added to the cap: a predicted time of zero could not grow otherwise. */
const JITTER_US = 100

/**
 * Learns the cost of a run from the runs themselves: a least-squares line through rows and time, in which recent runs weigh more and none
 * far more than its predicted time. Starts from the measurements of the probe.
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
   * Predicted minimum time of `runs` runs with `rows` rows in total; undefined while nothing is known. The line is not extrapolated beyond
   * the largest run seen: the slope of a few small runs, on a busy machine, would predict hours for thousands of rows.
   */
  atLeastUs(rows: number, runs = 1): number | undefined {
    const cost = this.#cost
    return cost === undefined ? undefined : runs * cost.fixedUs + cost.perRowUs * Math.min(rows, Math.max(1, runs) * this.#rowsMost)
  }

  /** Learns from a run: its number of rows, and its total time. */
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

  /** Upper limit of the time that a run is learned with. A run larger than any before may be as slow per row as the largest one. */
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
    // Runs of one size say nothing about the slope: the last known slope is kept.
    const slope = spread > 0.01 ? (this.#rowsUs / this.#weight - meanRows * meanUs) / spread : (this.#cost?.perRowUs ?? 0)
    const perRowUs = Math.min(Math.max(0, slope), meanUs / Math.max(1, meanRows))
    this.#cost = { fixedUs: Math.max(0, meanUs - perRowUs * meanRows), perRowUs }
  }
}
