import type { SlipwayError } from '../../core/errors.ts'
import type { CacheResult } from '../observe/events.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { RowPadding } from './ragged.ts'

/** Rows to run, and the callback that waits for them. */
export interface QueuedWork {
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly string[]
  readonly rows: number
  readonly bytes: number
  /** 1, or 0 for the further parts of a request that was split: limits count requests. */
  readonly requests: number
  /** Works with the same key may share a run: shapes, requested outputs, parameters. */
  readonly key: string
  /** How its rows are filled up where others of the run are longer. Undefined: all are of one shape. */
  readonly padding: RowPadding | undefined
  readonly priority: number
  /** Monotonic milliseconds. */
  readonly deadlineMs: number
  readonly enqueuedMs: number
  /** When its request came: earlier than `enqueuedMs` for a later part of one that was split. */
  readonly sinceMs: number
  /** Whether an instance was free when the work came: the work then runs, whatever the cost model says, which learns from it. */
  readonly unhindered: boolean
  /** Called exactly once. */
  readonly settle: Settle
  /** Takes the parts of an answer as they come; the work then runs alone, and its result has no outputs. */
  readonly onPart: OnPart | undefined
  /** Ends what the work consists of, while it runs. */
  gone: (() => void) | undefined
  /** Settled or given up: skipped when its turn comes. */
  done: boolean
  /** Counted in the queue; not yet taken. */
  queued: boolean
  lane: Lane | undefined
}

/** One part of an answer that comes in several. */
export type OnPart = (outputs: readonly Tensor[]) => void

/** Receives the error or the result of a work. A callback and not a promise, as it is called for every request. */
export type Settle = (error: SlipwayError | undefined, result: WorkResult | undefined) => void

export interface WorkResult {
  readonly outputs: readonly Tensor[]
  readonly queueMs: number
  /** The part of `queueMs` during which an instance was free and the work waited for others to fill a batch. */
  readonly batchWaitMs: number
  readonly computeMs: number
  /** Undefined where the model has no cache. */
  readonly cache?: CacheResult
  /** Time that the cache took. Default: 0. */
  readonly cacheMs?: number
}

export interface QueueLimits {
  readonly queueRequests: number
  readonly queueRows: number
  readonly queueBytes: number
  readonly priorityAgingMs: number
}

/** Works of one key and priority, first come first served. */
export interface Lane {
  readonly name: string
  readonly key: string
  readonly priority: number
  /** Rows that wait. */
  rows: number
  /** Taken places are emptied at once: the garbage collector keeps every work that an old array still points to. */
  works: (QueuedWork | undefined)[]
  head: number
}

/** The scheduler queue of one variant: lanes by key, counted and bounded by requests, rows and bytes. */
export class SchedulerQueue {
  readonly #limits: QueueLimits
  readonly #lanes = new Map<string, Lane>()
  #works = 0
  #requests = 0
  #rows = 0
  #bytes = 0
  /** Of parts of requests that are accepted, and not in a lane yet. */
  #heldRows = 0
  #heldBytes = 0

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get requests(): number {
    return this.#requests
  }

  /** Works that wait: requests, and parts of requests. */
  get works(): number {
    return this.#works
  }

  get rows(): number {
    return this.#rows + this.#heldRows
  }

  /** Counts rows that wait outside, or no longer do where the numbers are negative. */
  hold(rows: number, bytes: number): void {
    this.#heldRows += rows
    this.#heldBytes += bytes
  }

  /** The limit that one more request of this size would break, or undefined. `reserved` requests are on their way. */
  overflow(rows: number, bytes: number, reserved: number): string | undefined {
    const limits = this.#limits
    if (this.#requests + reserved >= limits.queueRequests) return `${limits.queueRequests} requests waiting`
    // A request larger than a limit must still be able to run alone, or it could never run.
    if (this.rows > 0 && this.rows + rows > limits.queueRows) return `${this.rows} of ${limits.queueRows} rows waiting`
    const waiting = this.#bytes + this.#heldBytes
    if (waiting > 0 && waiting + bytes > limits.queueBytes) return `${waiting} of ${limits.queueBytes} bytes waiting`
    return undefined
  }

  push(work: QueuedWork): void {
    const name = work.priority === 0 ? work.key : `${work.priority} ${work.key}`
    let lane = this.#lanes.get(name)
    if (lane === undefined) {
      lane = { name, key: work.key, priority: work.priority, rows: 0, works: [], head: 0 }
      this.#lanes.set(name, lane)
    }
    lane.works.push(work)
    lane.rows += work.rows
    work.lane = lane
    work.queued = true
    this.#works++
    this.#requests += work.requests
    this.#rows += work.rows
    this.#bytes += work.bytes
  }

  /**
   * The lane whose first work is next. A level of priority is worth `priorityAgingMs` of waiting, so that less urgent works
   * are late and never forgotten. Drops works that are done on the way.
   */
  next(waiting?: ReadonlySet<Lane>, key?: string): Lane | undefined {
    let best: Lane | undefined
    let bestTurn = Number.POSITIVE_INFINITY
    for (const lane of this.#lanes.values()) {
      if (!this.#trim(lane) || waiting?.has(lane) === true || (key !== undefined && lane.key !== key)) continue
      const turn = lane.works[lane.head]!.enqueuedMs + lane.priority * this.#limits.priorityAgingMs
      if (turn < bestTurn) {
        best = lane
        bestTurn = turn
      }
    }
    return best
  }

  /** Rows that run before a new work of this priority would. */
  rowsBefore(priority: number): number {
    let rows = 0
    for (const lane of this.#lanes.values()) if (lane.priority <= priority) rows += lane.rows
    return rows
  }

  /** Whether the lane still has a work to run; an empty one is forgotten. */
  #trim(lane: Lane): boolean {
    const { works } = lane
    while (lane.head < works.length && works[lane.head]?.done !== false) works[lane.head++] = undefined
    if (lane.head === works.length) {
      this.#lanes.delete(lane.name)
      return false
    }
    if (lane.head > 256 && lane.head * 2 > works.length) {
      works.splice(0, lane.head)
      lane.head = 0
    }
    return true
  }

  /** Rows that wait in the lane, counted up to `enough`. */
  rowsIn(lane: Lane, enough: number): number {
    let rows = 0
    for (let index = lane.head; index < lane.works.length && rows < enough; index++) {
      const work = lane.works[index]
      if (work?.done === false) rows += work.rows
    }
    return rows
  }

  /** Takes works from the front, at least one and at most `rowsMax` rows; other priorities fill the rest. */
  take(first: Lane, rowsMax: number): QueuedWork[] {
    const batch: QueuedWork[] = []
    let rows = this.#takeFrom(first, rowsMax, batch)
    while (this.#lanes.size > 1 && rows < rowsMax) {
      const lane = this.next(undefined, first.key)
      if (lane === undefined) break
      const before = batch.length
      rows += this.#takeFrom(lane, rowsMax - rows, batch)
      if (batch.length === before) break
    }
    return batch
  }

  /** @returns the rows taken; the first work of a batch is taken whatever its size */
  #takeFrom(lane: Lane, rowsMax: number, batch: QueuedWork[]): number {
    let rows = 0
    while (lane.head < lane.works.length) {
      const work = lane.works[lane.head]
      if (work?.done === false) {
        if (batch.length > 0 && rows + work.rows > rowsMax) break
        batch.push(work)
        rows += work.rows
        this.#forget(work)
      }
      lane.works[lane.head++] = undefined
    }
    this.#trim(lane)
    return rows
  }

  /** Gives up a work, before its turn or while it runs. */
  drop(work: QueuedWork): void {
    work.done = true
    this.#forget(work)
  }

  #forget(work: QueuedWork): void {
    if (!work.queued) return
    work.queued = false
    work.lane!.rows -= work.rows
    this.#works--
    this.#requests -= work.requests
    this.#rows -= work.rows
    this.#bytes -= work.bytes
  }

  *waiting(): Generator<QueuedWork> {
    for (const lane of this.#lanes.values()) {
      for (let index = lane.head; index < lane.works.length; index++) {
        const work = lane.works[index]
        if (work?.done === false) yield work
      }
    }
  }
}
