import { messageOf } from '../../core/errors.ts'
import { closedLoop } from '../server/load-generator.ts'
import { describeCandidate, keyOf } from './candidates.ts'
import { Meter, TYPICAL_LEVELS, within } from './meter.ts'
import { compareScores, pointOf, scoreOf } from './point.ts'
import type { Candidate } from './candidates.ts'
import type { MeterOptions, Side } from './meter.ts'
import type { Point, Repeats, Score } from './point.ts'

/** Shares of the budget by which all candidates are measured briefly, the best are repeated, and the winner is predicted. */
const SHORT_UNTIL = 0.4
const REPEATS_UNTIL = 0.6
const PREDICTED_UNTIL = 0.75
/** Rounds of the prediction and of the confirmation. */
const TURNS = 3
/** Attempts at a prediction: a winner may turn out to miss the goal when it is measured longer. */
const ATTEMPTS = 3
const FINALISTS = 3
/** A shape that reaches less than this part of the best is not measured with other batch sizes. */
const HOPELESS = 0.5
/** Factor by which a candidate must be better than the present settings to replace them. */
const WORTH_A_CHANGE = 1.03

/** Results of one candidate. */
export interface Row {
  readonly candidate: Candidate
  readonly state: 'waiting' | 'left out' | 'failed' | 'measured' | 'repeated'
  /** Reason why the candidate was left out or failed. */
  readonly why?: string
  readonly points: readonly Point[]
  readonly score?: Score | undefined
  readonly memoryBytes?: number | undefined
}

/** A fresh server of the winner, and one of the present settings beside it, measured in turns. */
export interface Confirmation {
  readonly best: Point
  /** Undefined where the present settings are the best. */
  readonly present: Point | undefined
}

export interface SearchOptions extends MeterOptions {
  /** The first candidate has the present settings. */
  readonly candidates: readonly [Candidate, ...Candidate[]]
  /** On the clock of `performance.now()`. */
  readonly startedAtMs: number
  readonly budgetMs: number
}

/**
 * Successive halving: all candidates are measured briefly, the best three (and the present settings) longer and in turns, so
 * that a temporary disturbance of a shared machine affects all of them, and the winner once more in a fresh process.
 * Intermediate results can be read at any time.
 */
export class Search {
  readonly #options: SearchOptions
  readonly #rows: Map<string, Row>
  readonly #meter: Meter
  #chosen: Candidate | undefined
  confirmation: Confirmation | undefined
  /** The candidate that looked better than the present settings, and was not when both were measured in fresh processes. */
  rejected: Candidate | undefined

  constructor(options: SearchOptions) {
    this.#options = options
    this.#meter = new Meter(options)
    this.#rows = new Map(options.candidates.map((candidate) => [keyOf(candidate), { candidate, state: 'waiting', points: [] }]))
  }

  get rows(): readonly Row[] {
    return [...this.#rows.values()]
  }

  row(candidate: Candidate): Row {
    return this.#rows.get(keyOf(candidate))!
  }

  get #present(): Candidate {
    return this.#options.candidates[0]
  }

  /** Candidates with a score, the best first. */
  get ranking(): (Row & { readonly score: Score })[] {
    return this.rows
      .filter((row): row is Row & { readonly score: Score } => row.score !== undefined)
      .toSorted((a, b) => Number(b.state === 'repeated') - Number(a.state === 'repeated') || compareScores(a.score, b.score))
  }

  /** The best so far; the present settings where nothing is clearly better. */
  get best(): (Row & { readonly score: Score }) | undefined {
    const { ranking } = this
    const [best] = ranking
    const present = ranking.find((row) => row.candidate === this.#present)
    const chosen = ranking.find((row) => row.candidate === this.#chosen)
    if (chosen !== undefined) return chosen
    if (best === undefined || present === undefined || !present.score.met || best.state !== present.state) return best
    return best.score.point.requestsPerSecond < present.score.point.requestsPerSecond * WORTH_A_CHANGE ? present : best
  }

  /** @throws the reason of the signal; the error that the present settings fail with */
  async run(): Promise<void> {
    await this.#measureAll()
    await this.#repeatBest()
    await this.#predict()
    if (this.best?.score.met === true) await this.#confirm(this.best.candidate)
  }

  /** Milliseconds until a part of the budget is over. */
  #leftMs(part: number): number {
    const { startedAtMs, budgetMs } = this.#options
    return Math.max(0, startedAtMs + budgetMs * part - performance.now())
  }

  #set(candidate: Candidate, row: Omit<Row, 'candidate'>): void {
    this.#rows.set(keyOf(candidate), { candidate, ...row })
  }

  async #measureAll(): Promise<void> {
    const { candidates, pool, progress, signal, budgetMs } = this.#options
    const warmUp = within(0.1, budgetMs / 100_000, 1)
    // The load generator needs a warm-up, too, which must not count against the first candidate.
    await closedLoop((await pool.acquire(this.#present, warmUp)).shoot, 8, warmUp * 2, signal)
    const each = this.#leftMs(SHORT_UNTIL) / candidates.length - pool.startMs
    const seconds = within(0.06, (each / 1000 - warmUp) / TYPICAL_LEVELS, 0.8)
    const shapes = candidates.filter((candidate) => candidate.maxBatchSize === this.#present.maxBatchSize)
    // Shapes are measured twice: they decide which batch sizes are measured at all, and as disturbances only slow down, the better counts.
    const order = [...shapes, ...shapes, ...candidates.slice(shapes.length)]
    for (const [index, candidate] of order.entries()) {
      signal.throwIfAborted()
      const again = this.row(candidate).state === 'measured'
      const late = index > 1 && this.#leftMs(SHORT_UNTIL) === 0
      const why = again ? undefined : (this.#hopeless(candidate) ?? (late ? 'no time left' : undefined))
      if (why !== undefined) this.#set(candidate, { state: 'left out', why, points: [] })
      if (why !== undefined || (again && late) || (index >= shapes.length && this.row(candidate).state === 'failed')) continue
      progress.step(`${index + 1} of ${order.length}: ${describeCandidate(candidate)}`)
      await this.#measure(candidate, warmUp, seconds)
      await pool.keepOnly(this.#finalists())
    }
  }

  async #measure(candidate: Candidate, warmUp: number, seconds: number): Promise<void> {
    const { pool, goalMs, signal } = this.#options
    try {
      const trial = await pool.acquire(candidate, warmUp)
      const points = (await this.#meter.ladder(trial, seconds)).map((sample) => pointOf([sample]))
      const score = scoreOf(points, goalMs)
      const before = this.row(candidate).score
      if (before !== undefined && (score === undefined || compareScores(before, score) < 0)) return
      this.#set(candidate, { state: 'measured', points, score, memoryBytes: trial.memoryBytes() })
    } catch (error) {
      if (signal.aborted || candidate === this.#present) throw error
      this.#set(candidate, { state: 'failed', why: messageOf(error), points: [] })
    }
  }

  /** Reason why a shape cannot win with other batch sizes, undefined where it may. */
  #hopeless(candidate: Candidate): string | undefined {
    const shape = { ...candidate, maxBatchSize: this.#present.maxBatchSize }
    const own = this.#rows.get(keyOf(shape))
    const [best] = this.ranking
    if (best === undefined || own === undefined || own.state === 'waiting' || keyOf(shape) === keyOf(candidate)) return undefined
    if (own.score === undefined) return own.why ?? 'errors'
    const part =
      own.score.met === best.score.met
        ? own.score.met
          ? own.score.point.requestsPerSecond / best.score.point.requestsPerSecond
          : best.score.point.p99Ms / own.score.point.p99Ms
        : 0
    return part < HOPELESS ? 'cannot win' : undefined
  }

  #finalists(): Candidate[] {
    const best = this.ranking.slice(0, FINALISTS).map((row) => row.candidate)
    return best.includes(this.#present) ? best : [...best, this.#present]
  }

  /**
   * Measures the finalists in turns: first all levels again, as short measurements are unreliable, then the best level so far
   * and its neighbours.
   */
  async #repeatBest(): Promise<void> {
    const { pool, progress } = this.#options
    const finalists = this.#finalists().map((candidate) => ({ candidate, samples: new Map<number, Repeats>() }))
    const leftSeconds = this.#leftMs(REPEATS_UNTIL) / 1000 / finalists.length / 1.15
    const levelsIn = (rounds: number): number => TYPICAL_LEVELS + 3 * (rounds - 1)
    const rounds = leftSeconds / levelsIn(5) > 0.3 ? 5 : 3
    const seconds = within(0.08, leftSeconds / levelsIn(rounds), 3)
    for (let round = 0; round < rounds; round++) {
      // Each round begins with another candidate.
      const order = finalists.map((_, index) => finalists[(index + round) % finalists.length]!)
      for (const { candidate, samples } of order) {
        progress.step(`round ${round + 1} of ${rounds} of the best ${finalists.length}: ${describeCandidate(candidate)}`)
        const trial = await pool.acquire(candidate, within(0.1, seconds * 2, 2))
        const found = round === 0 ? await this.#meter.ladder(trial, seconds) : await this.#meter.aroundBest(trial, samples, seconds)
        for (const sample of found) samples.set(sample.clients, [...(samples.get(sample.clients) ?? []), sample])
      }
    }
    for (const { candidate, samples } of finalists) {
      const all = [...samples.values()].map(pointOf)
      const often = all.filter((point) => point.repeats > rounds / 2)
      const points = often.length > 0 ? often : all
      this.#set(candidate, { ...this.row(candidate), state: 'repeated', points, score: scoreOf(points, this.#options.goalMs) })
    }
  }

  /**
   * Measures the winner and the present settings again, in turns and longer: the best of several was also the luckiest, so the
   * prediction must not come from the measurements that made it the best.
   */
  async #predict(): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS && this.best?.score.met === true; attempt++) {
      const best = this.best.candidate
      const sides = this.#sidesOf(best)
      const seconds = within(0.1, this.#leftMs(PREDICTED_UNTIL) / 1000 / (TURNS * sides.length) / 1.3, 3)
      const points = await this.#meter.inTurns(sides, { what: 'predicting', rounds: TURNS, seconds, warmUpSeconds: seconds })
      const better = this.#isBetter(points)
      for (const [index, { candidate }] of sides.entries()) if (points[index] !== undefined) this.#settle(candidate, points[index])
      if (!this.row(best).score?.met || this.row(best).score?.point !== points[0]) continue
      this.#chosen = better ? best : this.#present
      return
    }
  }

  /** Scores a candidate by a longer measurement. Where that misses the goal, fewer clients may still meet it. */
  #settle(candidate: Candidate, point: Point): void {
    const { goalMs } = this.#options
    const row = this.row(candidate)
    const fewer = row.points.filter(({ clients }) => clients < point.clients)
    const score = scoreOf([point], goalMs)
    if (score?.met === true) this.#set(candidate, { ...row, score })
    else this.#set(candidate, { ...row, points: [...fewer, point], score: scoreOf([...fewer, point], goalMs) })
  }

  async #confirm(best: Candidate): Promise<void> {
    const { pool } = this.#options
    // Fresh processes: the results so far may have been the luck of one process.
    await pool.keepOnly([])
    const sides = this.#sidesOf(best)
    const warmUpSeconds = within(0.3, this.#leftMs(1) / 1000 / 6, 3)
    const ready = sides.length * (pool.startMs / 1000 + warmUpSeconds)
    const seconds = within(0.15, (this.#leftMs(1) / 1000 - ready) / (TURNS * sides.length) / 1.3, 3)
    const points = await this.#meter.inTurns(sides, { what: 'confirming in fresh processes', rounds: TURNS, seconds, warmUpSeconds })
    const [own, present] = points
    if (own === undefined) return
    if (present === undefined || this.#isBetter(points)) this.confirmation = { best: own, present }
    else {
      this.confirmation = { best: present, present: undefined }
      this.rejected = best
      this.#chosen = this.#present
    }
  }

  #sidesOf(best: Candidate): Side[] {
    const candidates = best === this.#present ? [best] : [best, this.#present]
    return candidates.map((candidate) => ({ candidate, clients: this.row(candidate).score?.point.clients ?? 1 }))
  }

  /** Whether the winner is also better in these turns; true where the present settings miss the goal. */
  #isBetter([own, present]: readonly Point[]): boolean {
    if (own === undefined || present === undefined || this.row(this.#present).score?.met !== true) return true
    const met = scoreOf([own], this.#options.goalMs)?.met ?? false
    return own.requestsPerSecond > present.requestsPerSecond && (met || present.p99Ms > (this.#options.goalMs ?? Number.POSITIVE_INFINITY))
  }
}
