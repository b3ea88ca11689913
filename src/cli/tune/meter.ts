import { steadyLoop } from '../server/load-generator.ts'
import { describeCandidate } from './candidates.ts'
import { GROWTH, pointOf, sampleOf, scoreOf } from './point.ts'
import type { Candidate } from './candidates.ts'
import type { Point, Repeats, Sample } from './point.ts'
import type { Progress } from './progress.ts'
import type { TrialPool } from './trial-pool.ts'
import type { Trial } from './trial.ts'

/** Rising numbers of clients. */
const CLIENTS = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const
/** Usual number of levels of a ladder before its throughput is flat. */
export const TYPICAL_LEVELS = 7
/** Number of clients up to which a dip in throughput may be passed over, where requests are quick. */
const FEW_CLIENTS = 32
const SLOW_MS = 20

export interface MeterOptions {
  readonly pool: TrialPool
  readonly goalMs: number | undefined
  readonly signal: AbortSignal
  readonly progress: Progress
}

/** A candidate and the number of clients that it is measured with. */
export interface Side {
  readonly candidate: Candidate
  readonly clients: number
}

export interface Turns {
  /** Purpose of the turns, as shown in the progress. */
  readonly what: string
  readonly rounds: number
  /** Length of one measurement. */
  readonly seconds: number
  readonly warmUpSeconds: number
}

/** Sends load to trial servers and measures their answers. */
export class Meter {
  readonly #options: MeterOptions

  constructor(options: MeterOptions) {
    this.#options = options
  }

  get #goalMs(): number {
    return this.#options.goalMs ?? Number.POSITIVE_INFINITY
  }

  async level(trial: Trial, clients: number, seconds: number): Promise<Sample> {
    const { progress, signal } = this.#options
    progress.detail(`${clients} client${clients === 1 ? '' : 's'}`)
    // The first requests at a new level open connections.
    const result = await steadyLoop(trial.shoot, { connections: clients, settleSeconds: Math.min(0.2, seconds / 4), seconds, signal })
    signal.throwIfAborted()
    return sampleOf(result)
  }

  /**
   * Measures levels until the goal is missed, or until more clients only wait longer, twice in a row, as once may be noise. The
   * throughput of a small model dips at the few clients where runs begin to leave the main thread, and then grows again: such a
   * model gets all levels up to 32.
   */
  async ladder(trial: Trial, seconds: number): Promise<Sample[]> {
    const samples: Sample[] = []
    let waitedMs = 0
    let highest = 0
    let flat = 0
    let missed = 0
    for (const clients of CLIENTS) {
      // Twice the clients wait at most twice as long; a level needs several requests of each client.
      const enough = (waitedMs * 2 * 8) / 1000
      const sample = await this.level(trial, clients, within(seconds, enough, seconds * 4))
      samples.push(sample)
      const point = pointOf([sample])
      waitedMs = point.p50Ms
      flat = point.requestsPerSecond > highest * GROWTH ? 0 : flat + 1
      missed = point.p99Ms > this.#goalMs ? missed + 1 : 0
      highest = Math.max(highest, point.requestsPerSecond)
      const full = flat > 1 && (clients >= FEW_CLIENTS || point.p50Ms > SLOW_MS)
      if (full || missed > 1 || point.p50Ms > this.#goalMs || point.errors > 0) break
    }
    return samples
  }

  /** The best level so far and its neighbours. */
  async aroundBest(trial: Trial, samples: ReadonlyMap<number, Repeats>, seconds: number): Promise<Sample[]> {
    const points = [...samples.values()].map(pointOf)
    const best = scoreOf(points, this.#options.goalMs)?.point
    const found: Sample[] = []
    for (const clients of CLIENTS) {
      const near = best !== undefined && clients >= best.clients / 2 && clients <= best.clients * 2
      const before = points.find((point) => point.clients === clients)
      if (!near || (before !== undefined && before.p50Ms > this.#goalMs)) continue
      const enough = (best.p50Ms * 2 * 8) / 1000
      found.push(await this.level(trial, clients, within(seconds, enough, seconds * 2)))
    }
    return found
  }

  /** Measures all sides in each round, so that a temporary disturbance of the machine affects all of them. */
  async inTurns(sides: readonly Side[], { what, rounds, seconds, warmUpSeconds }: Turns): Promise<Point[]> {
    const { pool, progress } = this.#options
    const samples = new Map<Side, Repeats>()
    for (let round = 0; round < rounds; round++) {
      for (const side of sides) {
        progress.step(`${what}, round ${round + 1} of ${rounds}: ${describeCandidate(side.candidate)}`)
        const trial = await pool.acquire(side.candidate, warmUpSeconds)
        const sample = await this.level(trial, side.clients, seconds)
        samples.set(side, [...(samples.get(side) ?? []), sample])
      }
    }
    return [...samples.values()].map(pointOf)
  }
}

/** `value`, limited to the range from `least` to `most`. */
export function within(least: number, value: number, most: number): number {
  return Math.max(least, Math.min(most, value))
}
