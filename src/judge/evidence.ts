/**
 * Judge says whether a new version is worse than the one before it, at any moment and as often as one looks, with the false-alarm rate that
 * it promises. Pure functions: counts in, verdicts out. This file is the port by which counts come in; docs/guides/judging.md has the words.
 */
import { SlipwayError } from '../core/errors.ts'

/** `base`: the version that serves. `candidate`: the one that is to take its place. */
export type Arm = 'base' | 'candidate'

/**
 * What one arm had of one metric, in a time in which the shares of the arms stayed as they were. Requests that were not assigned at random
 * (matched, forced, from a cache, answered by a fallback, shadow, synthetic, refused at the door) are in no arm.
 */
export interface Evidence {
  readonly metric: string
  /** UTC epoch milliseconds. Rows of both arms with the same interval and segment belong together. */
  readonly interval: { readonly fromMs: number; readonly untilMs: number }
  /** Number of the routing, with the server where servers may have different ones. */
  readonly segment: string
  readonly arm: Arm
  /** Requests or units that went wrong: failed, were slower than the edge, had another label. */
  readonly k: number
  /** Requests or units that were assigned, and whose outcome can be known by now: a unit within its horizon has not gone well yet. */
  readonly exposures: number
  /**
   * Share of the assigned requests that the candidate was given, from 0 to 1: as it was set, where our own router shares out (by the ranges of
   * the routing, which round weights to steps). `observed`:
   * worked out from the exposures of both arms, for routers of others; never over several servers.
   */
  readonly share: number | 'observed'
  /** Where units are counted and not requests: those that went wrong within the horizon of exposures for a pass. Default: `k`. */
  readonly kInHorizon?: number
}

/** Both arms in one interval and segment. */
export interface Pair {
  readonly fromMs: number
  readonly untilMs: number
  /** Share of the candidate, from 0 to 1. */
  readonly share: number
  readonly base: Counts
  readonly candidate: Counts
}

export interface Counts {
  readonly k: number
  readonly exposures: number
  readonly kInHorizon: number
}

const NONE: Counts = { k: 0, exposures: 0, kInHorizon: 0 }

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

/** @throws SLW_INPUT_INVALID for what is no count or no share */
function requireSound({ metric, arm, k, exposures, share, kInHorizon = k, interval: { fromMs, untilMs } }: Evidence): void {
  const wrong =
    !isCount(k) || !isCount(exposures) || !isCount(kInHorizon)
      ? `counts are whole numbers from 0, not ${k}, ${exposures} and ${kInHorizon}`
      : kInHorizon > k
        ? `${kInHorizon} went wrong within the horizon, and ${k} in all`
        : share !== 'observed' && !(share >= 0 && share <= 1)
          ? `a share lies between 0 and 1, not at ${share}`
          : !(fromMs <= untilMs)
            ? `an interval ends after it begins, not at ${untilMs} after ${fromMs}`
            : undefined
  if (wrong !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', `evidence of ${metric}, ${arm}: ${wrong}`)
}

interface Open {
  readonly interval: Evidence['interval']
  readonly share: Evidence['share']
  base: Counts
  candidate: Counts
}

/**
 * Puts the arms beside each other. The order of the rows does not matter; several rows of one arm, interval and segment add up.
 * @throws SLW_INPUT_INVALID for rows that are no evidence, and where both arms have different shares
 */
export function pairUp(rows: readonly Evidence[]): Pair[] {
  // By segment and beginning: a key of text for each row would take longer than all else.
  const segments = new Map<string, Map<number, Open[]>>()
  const all: Open[] = []
  for (const row of rows) {
    requireSound(row)
    const { interval, segment, share, arm, k, exposures, kInHorizon = k } = row
    let intervals = segments.get(segment)
    if (intervals === undefined) segments.set(segment, (intervals = new Map()))
    let beginning = intervals.get(interval.fromMs)
    if (beginning === undefined) intervals.set(interval.fromMs, (beginning = []))
    let pair = beginning.find((one) => one.interval.untilMs === interval.untilMs)
    if (pair === undefined) {
      pair = { interval, share, base: NONE, candidate: NONE }
      beginning.push(pair)
      all.push(pair)
    }
    if (pair.share !== share)
      throw new SlipwayError('SLW_INPUT_INVALID', `evidence of ${row.metric}, segment ${segment}: the arms have shares of their own`)
    const before = pair[arm]
    pair[arm] =
      before === NONE
        ? { k, exposures, kInHorizon }
        : { k: before.k + k, exposures: before.exposures + exposures, kInHorizon: before.kInHorizon + kInHorizon }
  }
  return all
    .map(({ interval: { fromMs, untilMs }, share, base, candidate }) => ({
      fromMs,
      untilMs,
      share: share === 'observed' ? shareOf(base, candidate) : share,
      base,
      candidate,
    }))
    .toSorted((a, b) => a.fromMs - b.fromMs || a.untilMs - b.untilMs || a.share - b.share)
}

function shareOf(base: Counts, candidate: Counts): number {
  const all = base.exposures + candidate.exposures
  return all === 0 ? 0 : candidate.exposures / all
}
