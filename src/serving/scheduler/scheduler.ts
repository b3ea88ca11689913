import { SlipwayError, isSlipwayError, toSlipwayError } from '../../core/errors.ts'
import { concatRows, copyTensor, elementCount, tensorsBytes } from '../../tensor/tensor.ts'
import { formatBytes } from '../../core/units.ts'
import { CostModel, predictUs } from '../../engine/cost.ts'
import { divideEvenly, divideRagged } from './division.ts'
import { SchedulerQueue } from './queue.ts'
import { cutTokens, joinFilled } from './ragged.ts'
import type { Clock } from '../../core/clock.ts'
import type { Serving } from '../../contract/serving-options.ts'
import type { Cost } from '../../engine/cost.ts'
import type { RunResult } from '../../engine/instance.ts'
import type { BatchEvent } from '../observe/events.ts'
import type { TypedTensorData } from '../../tensor/datatype.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Division } from './division.ts'
import type { Ragged } from './ragged.ts'
import type { Lane, OnPart, QueuedWork, Settle, WorkResult } from './queue.ts'

export type { OnPart, Settle, WorkResult } from './queue.ts'

/** The part of an instance's slot that the scheduler uses. */
export interface Runner {
  readonly available: boolean
  /** Looks for a result that has come and was not delivered yet. */
  poll?(): void
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunResult>
  /** As `run`, for one work whose priority, deadline and end concern what it consists of. Default: `run`. */
  follow?(inputs: readonly Tensor[], outputs: readonly string[], terms: WorkTerms): Promise<RunResult>
  /** See `Instance.stream`. */
  stream?(inputs: readonly Tensor[], outputs: readonly string[], onPart: OnPart): Promise<RunResult>
}

/** What a work has to keep to while it runs. */
export interface WorkTerms {
  readonly priority: number
  /** Monotonic milliseconds. */
  readonly deadlineMs: number
  /** Called when nobody waits for the result any more. */
  readonly onGone: (cancel: () => void) => void
}

export interface SchedulerOptions {
  /** `endpoint/variant`, for messages. */
  readonly name: string
  readonly runners: readonly Runner[]
  /** An instance on this thread for lone, short runs. */
  readonly inline: Runner | undefined
  readonly batchable: boolean
  readonly cost: Cost | undefined
  readonly serving: Pick<
    Serving,
    | 'maxBatchSize'
    | 'maxOutputBytes'
    | 'maxDelayUs'
    | 'preferredBatchSizes'
    | 'inlineMaxUs'
    | 'queueRequests'
    | 'queueRows'
    | 'queueBytes'
    | 'latencyGoalMs'
    | 'queueTimeoutUs'
    | 'priorityAgingMs'
  >
  readonly clock: Clock
  readonly onBatch: (batch: Omit<BatchEvent, 'subject'>) => void
}

export interface WorkRequest {
  /** In the order of the model's inputs; their memory belongs to the scheduler from here on. */
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly string[]
  readonly rows: number
  readonly key: string
  readonly priority: number
  readonly deadlineMs: number
  /** Takes the answer in parts as they come. `key` is then unique, as the work runs alone. */
  readonly onPart?: OnPart | undefined
  /** Of rows of different lengths, as texts are; `key` then says nothing of shapes. */
  readonly ragged?: Ragged | undefined
}

/** Cancels a work whose caller has gone: it leaves the queue; a run in progress is not disturbed, its rows are thrown away. */
export type Cancel = () => void

/** Cost of a message to a thread and back, measured (docs/benchmarks.md). */
const HOP_US = 150
const SWEEP_MS = 50
/** Parts of one request that wait at a time, for each instance: enough that none stands idle. Other requests come between them. */
const PARTS_PER_RUNNER = 2

/**
 * Forms batches for the instances of one variant. It takes the queued works the moment an instance is free; with
 * `maxDelayUs` it waits that long for more works first. One bounded queue; every work is settled exactly once.
 */
export class Scheduler {
  readonly #options: SchedulerOptions
  readonly #queue: SchedulerQueue
  readonly #runners: readonly Runner[]
  readonly #learned: CostModel
  /** Expected end of the run of each busy instance, monotonic milliseconds. */
  readonly #busyUntil = new Map<Runner, number>()
  #inline: Runner | undefined
  #reserved = 0
  #lastUsedMs = 0
  #inFlight = 0
  #pumpScheduled = false
  #cancelDelay: (() => void) | undefined
  #delayUntilMs = 0
  #cancelSweep: (() => void) | undefined
  #freeSinceMs = 0
  #closed: SlipwayError | undefined
  /** Why nothing that waits will run any more. */
  #ended: SlipwayError | undefined
  #drained: PromiseWithResolvers<void> | undefined

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#queue = new SchedulerQueue(options.serving)
    this.#runners = options.runners
    this.#inline = options.inline
    this.#learned = new CostModel(options.cost)
    this.#lastUsedMs = options.clock.monotonicMs()
  }

  /** Requests that wait; `inFlight` counts the works that wait or run. */
  get queued(): number {
    return this.#queue.requests
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Places held for requests whose bodies are still to come. */
  get reserved(): number {
    return this.#reserved
  }

  /** When the last request or work came, else when the scheduler was made; monotonic milliseconds. */
  get lastUsedMs(): number {
    return this.#lastUsedMs
  }

  /** Learned cost of a run. */
  get cost(): Cost | undefined {
    return this.#learned.cost
  }

  /** Never runs the model on the server's own thread again, as an instance of it has crashed. */
  dropInline(): void {
    this.#inline = undefined
  }

  /**
   * Holds a place in the queue for a request whose body is still to be read, so that a request is refused before that where
   * the queue is full or the answer would be late. The place is given back by the returned function, which may be called
   * twice.
   * @throws SLW_QUEUE_FULL, SLW_LATENCY_GOAL, SLW_DEADLINE_EXCEEDED
   */
  reserve(priority = 0, deadlineMs = Number.POSITIVE_INFINITY): () => void {
    this.#refuseWhenFull(0, 0)
    if (this.#queue.works > 0) this.#refuseWhenLate({ rows: 1, priority, deadlineMs })
    this.#reserved++
    // Set here too, as a request that the cache answers never becomes a work.
    this.#lastUsedMs = this.#options.clock.monotonicMs()
    let held = true
    return () => {
      if (held) this.#reserved--
      held = false
    }
  }

  #refuseWhenFull(rows: number, bytes: number): void {
    if (this.#closed !== undefined) throw this.#closed
    const limit = this.#queue.overflow(rows, bytes, this.#reserved)
    if (limit === undefined) return
    this.#pollRunners()
    throw new SlipwayError('SLW_QUEUE_FULL', `the queue of "${this.#options.name}" is full (${limit})`, {
      retryAfterMs: this.#retryAfterMs(),
    })
  }

  /** Time for the queue to empty, by the measured cost; at least a second, as the header counts in seconds. */
  #retryAfterMs(): number {
    const { serving } = this.#options
    const batches = Math.ceil(this.#queue.rows / serving.maxBatchSize)
    const us = this.#learned.atLeastUs(batches * serving.maxBatchSize, batches) ?? 0
    return Math.min(30_000, Math.max(1000, us / this.#runners.length / 1000))
  }

  /**
   * Puts work into the queue. Requests with more rows than a batch may have are split here and joined again.
   * @throws SLW_QUEUE_FULL, SLW_CLOSED at once; everything later goes to `settle`
   */
  enqueue(request: WorkRequest, settle: Settle): Cancel {
    const bytes = tensorsBytes(request.inputs)
    this.#refuseWhenFull(request.rows, bytes)
    const unhindered = this.#queue.works === 0 && this.#runners.some((runner) => runner.available)
    if (!unhindered) this.#refuseWhenLate(request)
    const division = this.#divide(request)
    const cancel =
      division === undefined || division.counts.length === 1
        ? this.#enqueueWhole(division?.part(0) ?? request, { bytes, requests: 1, unhindered }, settle)
        : this.#enqueueParts(request, division, { bytes, unhindered }, settle)
    this.#schedulePump()
    this.#armSweep()
    return cancel
  }

  /** Parts that a request runs in; undefined where it runs whole. */
  #divide(request: WorkRequest): Division<WorkRequest> | undefined {
    const rowsMax = this.#options.serving.maxBatchSize
    const { batchable } = this.#options
    if (request.onPart !== undefined || request.rows === 0) return undefined
    if (request.ragged !== undefined) return divideRagged(request, request.ragged, batchable ? rowsMax : 1)
    return batchable && request.rows > rowsMax ? divideEvenly(request, rowsMax) : undefined
  }

  /**
   * Refuses a request that cannot be answered in time at once, not after a wait, so that it takes no time from others. Only
   * where works wait or run already: a lone request runs, however long its predicted run.
   */
  #refuseWhenLate({ rows, priority, deadlineMs }: Pick<WorkRequest, 'rows' | 'priority' | 'deadlineMs'>): void {
    const expectedMs = this.#expectedMs(rows, priority)
    if (expectedMs === undefined) return
    const { latencyGoalMs } = this.#options.serving
    if (latencyGoalMs !== undefined && expectedMs > latencyGoalMs) {
      this.#pollRunners()
      throw new SlipwayError(
        'SLW_LATENCY_GOAL',
        `"${this.#options.name}" would answer in about ${Math.ceil(expectedMs)} ms, latencyGoalMs is ${latencyGoalMs}`,
        { retryAfterMs: this.#retryAfterMs() },
      )
    }
    const leftMs = deadlineMs - this.#options.clock.monotonicMs()
    if (expectedMs > leftMs)
      throw new SlipwayError(
        'SLW_DEADLINE_EXCEEDED',
        `"${this.#options.name}" would answer in about ${Math.ceil(expectedMs)} ms, the request has ${Math.max(0, Math.floor(leftMs))} ms left`,
        { retryAfterMs: this.#retryAfterMs() },
      )
  }

  /** Time until a new work of so many rows would be answered, by the learned cost. */
  #expectedMs(rows: number, priority: number): number | undefined {
    const { serving, batchable, clock } = this.#options
    const ownUs = this.#learned.atLeastUs(batchable ? Math.min(serving.maxBatchSize, rows) : rows)
    if (ownUs === undefined) return undefined
    const nowMs = clock.monotonicMs()
    let runningMs = 0
    for (const untilMs of this.#busyUntil.values()) runningMs += Math.max(0, untilMs - nowMs)
    const before = this.#queue.rowsBefore(priority)
    const batches = batchable ? Math.floor(before / serving.maxBatchSize) : this.#queue.works
    const beforeUs = this.#learned.atLeastUs(before, batches) ?? 0
    return runningMs / this.#runners.length + (beforeUs / this.#runners.length + ownUs) / 1000
  }

  #enqueueWhole(
    request: WorkRequest,
    size: { bytes: number; requests: number; unhindered: boolean; sinceMs?: number },
    settle: Settle,
  ): Cancel {
    const { inputs, outputs, rows, key, priority, deadlineMs, onPart, ragged } = request
    const enqueuedMs = this.#options.clock.monotonicMs()
    this.#lastUsedMs = enqueuedMs
    const work: QueuedWork = {
      inputs,
      outputs,
      rows,
      bytes: size.bytes,
      requests: size.requests,
      key,
      padding: ragged?.padding,
      priority,
      deadlineMs,
      enqueuedMs,
      sinceMs: size.sinceMs ?? enqueuedMs,
      unhindered: size.unhindered,
      settle,
      onPart,
      gone: undefined,
      done: false,
      queued: false,
      lane: undefined,
    }
    this.#queue.push(work)
    this.#inFlight++
    return () => this.#reject(work, new SlipwayError('SLW_CANCELLED', 'the caller went away'))
  }

  #enqueueParts(
    request: WorkRequest,
    { counts, part: partAt, join, filledBytes }: Division<WorkRequest>,
    { bytes, unhindered }: { bytes: number; unhindered: boolean },
    settle: Settle,
  ): Cancel {
    const cancels = new Set<Cancel>()
    const parts: (WorkResult | undefined)[] = Array.from({ length: counts.length })
    /** Rows of the parts before the next one. */
    let begun = 0
    // Whole bytes, so that what is counted comes out even.
    const bytesOf = (from: number, to: number): number =>
      Math.floor((bytes * to) / request.rows) - Math.floor((bytes * from) / request.rows)
    const beganMs = this.#options.clock.monotonicMs()
    let missing = parts.length
    let next = 0
    let ended = false
    let outputBytes = 0
    const end = (): void => {
      ended = true
      this.#queue.hold(begun - request.rows, -bytesOf(begun, request.rows))
      for (const cancel of cancels) cancel()
    }
    const enqueueNext = (): void => {
      const index = next++
      const start = begun
      const stop = (begun += counts[index]!)
      const part = partAt(index)
      this.#queue.hold(-part.rows, -bytesOf(start, stop))
      const waitedMs = this.#options.clock.monotonicMs() - beganMs
      const settlePart: Settle = (failed, result) => {
        cancels.delete(cancel)
        if (ended) return
        parts[index] = result === undefined ? undefined : { ...result, queueMs: result.queueMs + waitedMs }
        missing--
        outputBytes += tensorsBytes(result?.outputs ?? [])
        if (missing === 0 && failed === undefined) outputBytes += filledBytes(parts as WorkResult[])
        const error = failed ?? this.#tooLarge(outputBytes) ?? (missing > 0 ? this.#ended : undefined)
        // The first part that fails decides; the others are not worth running any more.
        if (error !== undefined) {
          end()
          settle(error, undefined)
        } else if (missing === 0) settle(undefined, join(parts as WorkResult[]))
        else if (next < parts.length) enqueueNext()
      }
      const size = { bytes: bytesOf(start, stop), requests: index === 0 ? 1 : 0, unhindered, sinceMs: beganMs }
      const cancel = this.#enqueueWhole(part, size, settlePart)
      cancels.add(cancel)
    }
    this.#queue.hold(request.rows, bytes)
    while (next < Math.min(parts.length, PARTS_PER_RUNNER * this.#runners.length)) enqueueNext()
    return () => {
      if (ended || missing === 0) return
      end()
      settle(new SlipwayError('SLW_CANCELLED', 'the caller went away'), undefined)
    }
  }

  #tooLarge(bytes: number): SlipwayError | undefined {
    const { maxOutputBytes } = this.#options.serving
    if (bytes <= maxOutputBytes) return undefined
    const message = `the outputs have ${formatBytes(bytes)} or more, ${formatBytes(maxOutputBytes)} are allowed (maxOutputBytes)`
    return new SlipwayError('SLW_OUTPUT_TOO_LARGE', message)
  }

  #settled(): void {
    this.#inFlight--
    if (this.#inFlight === 0) this.#drained?.resolve()
  }

  /** An instance became free, or may have. */
  wake(): void {
    this.#freeSinceMs = this.#options.clock.monotonicMs()
    // A full batch is there already: waiting for more works of this turn of the event loop would gain nothing.
    if (this.#queue.rows >= this.#options.serving.maxBatchSize) this.#pump()
    else this.#schedulePump()
  }

  /**
   * Under overload a turn of the event loop is long: thousands of requests are refused in it, and an instance that is done
   * meanwhile would stand idle to its end. So every refusal looks for results first.
   */
  #pollRunners(): void {
    for (const runner of this.#runners) runner.poll?.()
  }

  /** Requests that arrive in one turn of the event loop are looked at together. */
  #schedulePump(): void {
    if (this.#pumpScheduled) return
    this.#pumpScheduled = true
    setImmediate(() => {
      this.#pumpScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    let waiting: Set<Lane> | undefined
    for (;;) {
      const lane = this.#queue.next(waiting)
      if (lane === undefined) return
      const runner = this.#pickRunner(lane)
      if (runner === undefined) return
      const rowsMax = this.#batchRows(lane)
      if (rowsMax === 0) {
        // This lane waits for more works; the other lanes need not wait with it.
        ;(waiting ??= new Set()).add(lane)
        continue
      }
      const works = this.#inTime(this.#queue.take(lane, rowsMax))
      if (works.length > 0) this.#run(runner, works)
    }
  }

  /** Rejects works that would be answered too late, as nobody would read the answer. @returns the others */
  #inTime(works: readonly QueuedWork[]): readonly QueuedWork[] {
    const nowMs = this.#options.clock.monotonicMs()
    const { latencyGoalMs = Number.POSITIVE_INFINITY } = this.#options.serving
    const goalMs = Math.min(latencyGoalMs, this.#queueTimeoutMs)
    let late = 0
    for (const work of works) {
      const runMs = work.unhindered ? 0 : (this.#learned.atLeastUs(work.rows) ?? 0) / 1000
      if (nowMs + runMs <= work.deadlineMs && (work.unhindered || nowMs - work.sinceMs <= goalMs)) continue
      late++
      this.#reject(work, this.#lateError(work, nowMs, runMs))
    }
    return late === 0 ? works : works.filter((work) => !work.done)
  }

  get #queueTimeoutMs(): number {
    return (this.#options.serving.queueTimeoutUs ?? Number.POSITIVE_INFINITY) / 1000
  }

  #lateError(work: QueuedWork, nowMs: number, runMs: number): SlipwayError {
    const waitedMs = Math.round(nowMs - work.sinceMs)
    if (nowMs + runMs >= work.deadlineMs) {
      const message = `waited ${waitedMs} ms in the queue of "${this.#options.name}"`
      const rest = nowMs >= work.deadlineMs ? 'longer than its time-out' : `and a run takes ${Math.ceil(runMs)} ms more: past its time-out`
      return new SlipwayError('SLW_DEADLINE_EXCEEDED', `${message}, ${rest}`)
    }
    const limit = nowMs - work.sinceMs > this.#queueTimeoutMs ? 'queueTimeoutUs' : 'latencyGoalMs'
    const message = `waited ${waitedMs} ms in the queue of "${this.#options.name}", longer than ${limit}`
    return new SlipwayError('SLW_LATENCY_GOAL', message, { retryAfterMs: this.#retryAfterMs() })
  }

  /** Inline only when nothing else waits, no instance is busy, and this very run is predicted to be short. */
  #pickRunner(lane: Lane): Runner | undefined {
    const { cost, serving } = this.#options
    const inline = this.#inline
    if (inline?.available === true && cost !== undefined && this.#queue.works === 1 && this.#runners.every((runner) => runner.available)) {
      if (predictUs(cost, lane.works[lane.head]!.rows) < serving.inlineMaxUs) return inline
    }
    return this.#runners.find((runner) => runner.available)
  }

  /** Rows to take from the lane now; 0: wait for more. */
  #batchRows(lane: Lane): number {
    const { serving, batchable, cost } = this.#options
    // Negative: a batch of exactly one work, also where works have no rows.
    if (!batchable) return -1
    const rows = this.#queue.rowsIn(lane, serving.maxBatchSize * this.#runners.length)
    if (serving.maxDelayUs > 0 && rows < serving.maxBatchSize) {
      const preferred = serving.preferredBatchSizes.findLast((size) => size <= rows)
      if (preferred !== undefined) return preferred
      const waitMs = lane.works[lane.head]!.enqueuedMs + serving.maxDelayUs / 1000 - this.#options.clock.monotonicMs()
      if (waitMs > 0) {
        this.#pumpIn(waitMs)
        return 0
      }
    }
    // Rows are divided among the free instances where each part is worth its own run: on busy cores a run too many is only a loss.
    const free = this.#runners.reduce((count, runner) => count + (runner.available ? 1 : 0), 0)
    const share = Math.ceil(rows / Math.max(1, free))
    if (free > 1 && cost !== undefined && cost.perRowUs * share > 2 * (cost.fixedUs + HOP_US)) return Math.min(serving.maxBatchSize, share)
    return serving.maxBatchSize
  }

  /** Several lanes may wait for more works: the timer is set for the lane whose time is over first. */
  #pumpIn(waitMs: number): void {
    const atMs = this.#options.clock.monotonicMs() + waitMs
    if (this.#cancelDelay !== undefined && this.#delayUntilMs <= atMs) return
    this.#cancelDelay?.()
    this.#delayUntilMs = atMs
    this.#cancelDelay = this.#options.clock.after(waitMs, () => {
      this.#cancelDelay = undefined
      this.#pump()
    })
  }

  #run(runner: Runner, works: readonly QueuedWork[]): void {
    const dispatchedMs = this.#options.clock.monotonicMs()
    const instance = runner === this.#inline ? 'inline' : 'pool'
    let rows = 0
    for (const work of works) rows += work.rows
    let inputs: Tensor[]
    try {
      inputs = joinInputs(works)
    } catch (error) {
      // Nothing may be thrown out of the pump: an error of these works is theirs alone.
      for (const work of works) this.#reject(work, toSlipwayError(error))
      return
    }
    const inputMs = this.#options.clock.monotonicMs() - dispatchedMs
    const requests = requestsOf(works)
    const expectedUs = this.#learned.atLeastUs(rows)
    if (instance === 'pool' && expectedUs !== undefined) this.#busyUntil.set(runner, dispatchedMs + expectedUs / 1000)
    ask(runner, inputs, works[0]!).then(
      (result) => {
        if (instance === 'pool') this.#busyUntil.delete(runner)
        // Inline runs count too: while other requests are refused they are the only runs, and a slow spell must be forgotten.
        const tookMs = this.#options.clock.monotonicMs() - dispatchedMs
        this.#learned.observe(rows, tookMs * 1000)
        // Outputs that have other rows than the inputs cannot be divided among the works: each work runs alone.
        const odd = works.length > 1 ? result.outputs.find((output) => output.shape[0] !== rows) : undefined
        const times = partsOf(result, inputMs, tookMs)
        this.#options.onBatch({ rows, requests, ...times, instance, failed: odd !== undefined })
        if (odd === undefined) {
          this.#deliver(works, result, dispatchedMs)
          this.wake()
        } else {
          const error = new SlipwayError('SLW_RUN_FAILED', `output "${odd.name}" has shape [${odd.shape.join(', ')}] for ${rows} rows`)
          void this.#fail(runner, works, error).then(() => this.wake())
        }
      },
      async (error: unknown) => {
        this.#busyUntil.delete(runner)
        this.#options.onBatch({ rows, requests, ...NO_TIME, instance, failed: true })
        await this.#fail(runner, works, error)
        this.wake()
      },
    )
  }

  #deliver(works: readonly QueuedWork[], result: RunResult, dispatchedMs: number): void {
    const { outputs } = result
    const computeMs = result.computeUs / 1000
    const alone = works.length === 1
    const widths = alone ? [] : outputs.map((tensor) => elementCount(tensor.shape) / tensor.shape[0]!)
    const [{ padding }] = works as readonly [QueuedWork]
    const singleRowShapes = alone ? [] : outputs.map((tensor) => [1, ...tensor.shape.slice(1)])
    let row = 0
    for (const work of works) {
      const start = row
      row += work.rows
      if (work.done) continue
      work.done = true
      const own = alone
        ? outputs
        : outputs.map((tensor, index) => {
            const cut = cutRows(tensor, {
              start,
              rows: work.rows,
              width: widths[index]!,
              shape: work.rows === 1 ? singleRowShapes[index] : undefined,
            })
            return padding?.perToken.has(tensor.name) === true ? cutTokens(cut, work.inputs[0]!.shape[1]!, padding.side) : cut
          })
      const batchWaitMs =
        this.#options.serving.maxDelayUs === 0 ? 0 : Math.max(0, dispatchedMs - Math.max(work.enqueuedMs, this.#freeSinceMs))
      this.#settled()
      work.settle(undefined, { outputs: own, queueMs: dispatchedMs - work.enqueuedMs, batchWaitMs, computeMs })
    }
  }

  /** When the model refuses a batch, its works run one by one, so that a bad one fails alone. */
  async #fail(runner: Runner, works: readonly QueuedWork[], error: unknown): Promise<void> {
    const divisible = isSlipwayError(error) && DIVISIBLE.has(error.code)
    if (divisible && works.length > 1) {
      for (const work of works) if (!work.done && runner.available) await this.#runAlone(runner, work)
      // The instance may have ended meanwhile.
      for (const work of works) this.#reject(work, new SlipwayError('SLW_INSTANCE_FAILED', 'the instance ended', { retryAfterMs: 1000 }))
      return
    }
    // Of several works one has taken too much, and nobody knows which: the others may ask again.
    const shared = works.length > 1 && isSlipwayError(error) && error.code === 'SLW_MEMORY_EXCEEDED'
    const told = shared ? new SlipwayError('SLW_INSTANCE_FAILED', error.message, { retryAfterMs: 1000 }) : toSlipwayError(error)
    for (const work of works) this.#reject(work, told)
  }

  async #runAlone(runner: Runner, work: QueuedWork): Promise<void> {
    const { clock, onBatch } = this.#options
    const dispatchedMs = clock.monotonicMs()
    const ran = { rows: work.rows, requests: work.requests, instance: 'pool' } as const
    try {
      const inputs = joinInputs([work])
      const inputMs = clock.monotonicMs() - dispatchedMs
      const result = await ask(runner, inputs, work)
      onBatch({ ...ran, ...partsOf(result, inputMs, clock.monotonicMs() - dispatchedMs), failed: false })
      this.#deliver([work], result, dispatchedMs)
    } catch (error) {
      onBatch({ ...ran, ...NO_TIME, failed: true })
      this.#reject(work, toSlipwayError(error))
    }
  }

  /** Ends a work without a result, whether it waits or runs; one that has ended stays as it is. */
  #reject(work: QueuedWork, error: SlipwayError): void {
    if (work.done) return
    this.#queue.drop(work)
    work.gone?.()
    this.#settled()
    work.settle(error, undefined)
  }

  /** Rejects waiting works whose deadline has passed, also while every instance is busy. */
  #armSweep(): void {
    if (this.#cancelSweep !== undefined) return
    this.#cancelSweep = this.#options.clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined
      const nowMs = this.#options.clock.monotonicMs()
      for (const work of this.#queue.waiting()) {
        if (work.deadlineMs <= nowMs || nowMs - work.sinceMs > this.#queueTimeoutMs) this.#reject(work, this.#lateError(work, nowMs, 0))
      }
      if (this.#queue.works > 0) this.#armSweep()
    })
  }

  /** Takes nothing new, and resolves when everything accepted is settled. */
  async drain(): Promise<void> {
    this.#closed ??= new SlipwayError('SLW_DRAINING', `"${this.#options.name}" takes no new requests`, { retryAfterMs: 1000 })
    if (this.#inFlight === 0) return
    this.#drained ??= Promise.withResolvers<void>()
    await this.#drained.promise
  }

  /** Takes nothing new, and rejects the works that still wait. */
  close(): void {
    this.#closed ??= new SlipwayError('SLW_CLOSED', `"${this.#options.name}" is closed`)
    this.#cancelDelay?.()
    this.#cancelSweep?.()
    const error = new SlipwayError('SLW_DRAINING', `"${this.#options.name}" was closed before the request could run`, {
      retryAfterMs: 1000,
    })
    this.#ended = error
    this.giveUpWaiting(error)
  }

  /** Rejects the works that wait; those that run are answered. */
  giveUpWaiting(error: SlipwayError): void {
    for (const work of this.#queue.waiting()) this.#reject(work, error)
  }
}

/** Errors that may be the fault of one work of a batch, or of their number. */
const DIVISIBLE: ReadonlySet<string> = new Set(['SLW_RUN_REJECTED', 'SLW_RUN_FAILED', 'SLW_OUTPUT_TOO_LARGE'])

const NO_TIME = { inputMs: 0, computeMs: 0, outputMs: 0 } as const

/** The parts of a run that took `tookMs` from its dispatch on. */
function partsOf({ computeUs }: RunResult, inputMs: number, tookMs: number): Pick<BatchEvent, 'inputMs' | 'computeMs' | 'outputMs'> {
  const computeMs = computeUs / 1000
  return { inputMs, computeMs, outputMs: Math.max(0, tookMs - inputMs - computeMs) }
}

/** Requests of a batch: one that was split counts with its first part. */
function requestsOf(works: readonly QueuedWork[]): number {
  let requests = 0
  for (const work of works) requests += work.requests
  return requests
}

/** Runs a batch; `work` is one of its works, which all want the same outputs. */
function ask(runner: Runner, inputs: readonly Tensor[], work: QueuedWork): Promise<RunResult> {
  return work.onPart === undefined ? askForAll(runner, inputs, work) : askForParts(runner, inputs, work)
}

function askForAll(runner: Runner, inputs: readonly Tensor[], work: QueuedWork): Promise<RunResult> {
  if (runner.follow === undefined) return runner.run(inputs, work.outputs)
  const { priority, deadlineMs, outputs } = work
  return runner.follow(inputs, outputs, { priority, deadlineMs, onGone: (cancel) => (work.gone = cancel) })
}

/** Passes on the parts of an answer; one that does not come in parts is passed on whole. The result has none of the outputs. */
async function askForParts(runner: Runner, inputs: readonly Tensor[], work: QueuedWork): Promise<RunResult> {
  const tell: OnPart = (part) => {
    // A work that was given up has no listener.
    if (!work.done) work.onPart?.(part)
  }
  if (runner.stream !== undefined && runner.follow === undefined)
    return { ...(await runner.stream(inputs, work.outputs, tell)), outputs: [] }
  const result = await askForAll(runner, inputs, work)
  tell(result.outputs)
  return { ...result, outputs: [] }
}

/** Rows of an output as a view; the shape of a single row is made once per batch. */
function cutRows(tensor: Tensor, cut: { start: number; rows: number; width: number; shape: readonly number[] | undefined }): Tensor {
  const { data, name, datatype } = tensor
  const { start, rows, width, shape } = cut
  const from = start * width
  const to = from + rows * width
  return {
    name,
    datatype,
    shape: shape ?? [rows, ...tensor.shape.slice(1)],
    data: Array.isArray(data) ? data.slice(from, to) : data.subarray(from, to),
  }
}

/** Whether data fills a buffer of its own. Empty views count as not: they may share one, which can be transferred only once. */
function ownsItsMemory(data: TypedTensorData): boolean {
  return data.byteLength > 0 && data.byteLength === data.buffer.byteLength
}

/** One set of tensors in memory of its own: joined, or copied where a view would drag a larger buffer along. */
function joinInputs(works: readonly QueuedWork[]): Tensor[] {
  const first = works[0]!
  if (works.length === 1) {
    return first.inputs.map((tensor) => (Array.isArray(tensor.data) || ownsItsMemory(tensor.data) ? tensor : copyTensor(tensor)))
  }
  const { padding } = first
  if (padding !== undefined && works.some(({ inputs }) => inputs[0]!.shape[1] !== first.inputs[0]!.shape[1]))
    return joinFilled(
      works.map(({ inputs }) => inputs),
      padding,
    )
  return first.inputs.map((_, index) => concatRows(works.map((work) => work.inputs[index]!)))
}
