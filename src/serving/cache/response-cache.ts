import { hash } from 'node:crypto'
import { SlipwayError, toSlipwayError } from '../../core/errors.ts'
import { copyTensor, tensorsBytes } from '../../tensor/tensor.ts'
import type { Clock } from '../../core/clock.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Cancel, Settle, WorkResult } from '../scheduler/scheduler.ts'
import type { CachedAnswer, CacheStore } from './store.ts'

/** The parts of a request that decide its answer, and its deadline. */
export interface CacheableRequest {
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly string[]
  readonly parametersKey?: string | undefined
  readonly deadlineMs: number
}

/** Runs a request whose answer is not cached. @throws the error of a full queue */
export type Run<R> = (request: R, settle: Settle) => Cancel

/** A request that waits for an answer on its way. */
interface Waiter<R> {
  readonly request: R
  readonly settle: Settle
  readonly joinedMs: number
  /** Time until it was known that there is no answer yet. */
  readonly lookupMs: number
  /** Undefined for the leader of a flight: the scheduler watches its deadline. */
  cancelTimer: (() => void) | undefined
}

/** One run, and the requests that still wait for its answer. */
interface Flight<R> {
  readonly key: Buffer
  readonly waiters: Set<Waiter<R>>
  /** The waiter whose request runs; its caller may have gone away since. */
  leader: Waiter<R>
  cancel: Cancel
}

/** A request, and the key and digest of its answer in the store. */
interface Asked<R> {
  readonly request: R
  readonly settle: Settle
  readonly key: Buffer
  readonly digest: string
  /** Monotonic milliseconds at which it was asked. */
  readonly askedMs: number
}

/** Errors that concern only the leader of a flight, and say nothing of the answer. */
const OF_THE_LEADER: ReadonlySet<string> = new Set(['SLW_DEADLINE_EXCEEDED', 'SLW_LATENCY_GOAL', 'SLW_CANCELLED'])

/**
 * Answers of one version of one model. Equal requests that come while the first one runs wait for its answer; when the first
 * caller goes away, its run goes on for the others. Errors are never kept. The cache ends with its version.
 */
export class ResponseCache<R extends CacheableRequest> {
  readonly #store: CacheStore
  readonly #clock: Clock
  readonly #run: Run<R>
  readonly #digestOf: (key: Buffer) => string
  readonly #flights = new Map<string, Flight<R>>()

  constructor(store: CacheStore, clock: Clock, run: Run<R>, digestOf: (key: Buffer) => string = sha256) {
    this.#store = store
    this.#clock = clock
    this.#run = run
    this.#digestOf = digestOf
  }

  get store(): CacheStore {
    return this.#store
  }

  /** Runs that requests wait for. */
  get flights(): number {
    return this.#flights.size
  }

  /** @throws what `run` throws, where this request is the one to run and the store answers at once */
  submit(request: R, settle: Settle): Cancel {
    const askedMs = this.#clock.monotonicMs()
    const key = keyOf(request)
    const digest = this.#digestOf(key)
    const found = this.#store.get(digest, key)
    const asked = { request, settle, key, digest, askedMs }
    return found instanceof Promise ? this.#lookUp(asked, found) : this.#answer(asked, found)
  }

  /** Waits for the store, until the deadline of the request at most. A store that fails counts as a miss. */
  #lookUp(asked: Asked<R>, found: Promise<CachedAnswer | undefined>): Cancel {
    const { request, settle } = asked
    let cancel: Cancel | undefined
    let waiting = true
    const giveUp = (error: SlipwayError): void => {
      waiting = false
      cancelTimer?.()
      settle(error, undefined)
    }
    const cancelTimer = this.#atDeadline(request, () =>
      giveUp(new SlipwayError('SLW_DEADLINE_EXCEEDED', 'the cache did not answer in time')),
    )
    void found
      .catch(() => undefined)
      .then((later) => {
        if (!waiting) return
        try {
          cancel = this.#answer(asked, later)
          waiting = false
          cancelTimer?.()
        } catch (error) {
          giveUp(toSlipwayError(error))
        }
      })
    return () => {
      if (waiting) giveUp(new SlipwayError('SLW_CANCELLED', GONE))
      else cancel?.()
    }
  }

  /** @returns a function that cancels the timer; undefined where the request can wait for ever */
  #atDeadline(request: R, act: () => void): (() => void) | undefined {
    const leftMs = request.deadlineMs - this.#clock.monotonicMs()
    return Number.isFinite(leftMs) ? this.#clock.after(leftMs, act) : undefined
  }

  #answer({ request, settle, key, digest, askedMs }: Asked<R>, found: CachedAnswer | undefined): Cancel {
    const joinedMs = this.#clock.monotonicMs()
    const lookupMs = joinedMs - askedMs
    if (found !== undefined) {
      settle(undefined, { outputs: found.outputs, queueMs: 0, batchWaitMs: 0, computeMs: 0, cache: 'hit', cacheMs: lookupMs })
      return () => {}
    }
    const waiter: Waiter<R> = { request, settle, joinedMs, lookupMs, cancelTimer: undefined }
    const flight = this.#flights.get(digest)
    if (flight === undefined) return this.#lead(digest, key, waiter)
    // Different requests with one digest: never seen so far, and no reason to give a wrong answer.
    if (!flight.key.equals(key)) return this.#run(request, settle)
    return this.#join(digest, flight, waiter)
  }

  #lead(digest: string, key: Buffer, waiter: Waiter<R>): Cancel {
    const flight: Flight<R> = { key, waiters: new Set([waiter]), leader: waiter, cancel: () => {} }
    this.#flights.set(digest, flight)
    try {
      this.#start(digest, flight)
    } catch (error) {
      this.#flights.delete(digest)
      throw error
    }
    return () => this.#leave(digest, flight, waiter)
  }

  #start(digest: string, flight: Flight<R>): void {
    flight.cancel = this.#run(flight.leader.request, (error, result) => this.#land(digest, flight, error, result))
  }

  #join(digest: string, flight: Flight<R>, waiter: Waiter<R>): Cancel {
    flight.waiters.add(waiter)
    waiter.cancelTimer = this.#atDeadline(waiter.request, () => {
      const waitedMs = Math.round(this.#clock.monotonicMs() - waiter.joinedMs)
      const message = `waited ${waitedMs} ms for an equal request to be answered, longer than its time-out`
      this.#leave(digest, flight, waiter, new SlipwayError('SLW_DEADLINE_EXCEEDED', message))
    })
    return () => this.#leave(digest, flight, waiter)
  }

  /** Removes a waiter. The run goes on for the others; without others it is given up. */
  #leave(digest: string, flight: Flight<R>, waiter: Waiter<R>, error = new SlipwayError('SLW_CANCELLED', GONE)): void {
    if (!flight.waiters.delete(waiter)) return
    waiter.cancelTimer?.()
    if (flight.waiters.size === 0) {
      if (this.#flights.get(digest) === flight) this.#flights.delete(digest)
      flight.cancel()
    }
    waiter.settle(error, undefined)
  }

  #land(digest: string, flight: Flight<R>, error: SlipwayError | undefined, result: WorkResult | undefined): void {
    if (result === undefined) {
      this.#fail(digest, flight, error ?? new SlipwayError('SLW_INTERNAL', 'a run ended with nothing'))
      return
    }
    if (this.#flights.get(digest) === flight) this.#flights.delete(digest)
    const cameMs = this.#clock.monotonicMs()
    // A view would keep the answers of a whole batch alive.
    const outputs = result.outputs.map(copyTensor)
    this.#store.set(digest, flight.key, { outputs }, tensorsBytes(outputs))
    const nowMs = this.#clock.monotonicMs()
    for (const waiter of flight.waiters) {
      flight.waiters.delete(waiter)
      waiter.cancelTimer?.()
      const { lookupMs } = waiter
      if (waiter === flight.leader) waiter.settle(undefined, { ...result, outputs, cache: 'miss', cacheMs: lookupMs + nowMs - cameMs })
      else
        waiter.settle(undefined, {
          outputs,
          queueMs: nowMs - waiter.joinedMs,
          batchWaitMs: 0,
          computeMs: 0,
          cache: 'shared',
          cacheMs: lookupMs,
        })
    }
  }

  #fail(digest: string, flight: Flight<R>, ended: SlipwayError): void {
    const { waiters } = flight
    let error = ended
    while (OF_THE_LEADER.has(error.code)) {
      const { leader } = flight
      if (waiters.delete(leader)) leader.settle(error, undefined)
      const [next] = waiters
      if (next === undefined) break
      next.cancelTimer?.()
      next.cancelTimer = undefined
      flight.leader = next
      try {
        this.#start(digest, flight)
        return
      } catch (thrown) {
        error = toSlipwayError(thrown)
      }
    }
    if (this.#flights.get(digest) === flight) this.#flights.delete(digest)
    for (const waiter of waiters) {
      waiters.delete(waiter)
      waiter.cancelTimer?.()
      waiter.settle(error, undefined)
    }
  }
}

const GONE = 'the caller went away'

function sha256(key: Buffer): string {
  return hash('sha256', key, 'base64')
}

/** Everything that decides the answer, as bytes: outputs asked for, parameters, and each input with its type and shape. */
function keyOf(request: CacheableRequest): Buffer {
  const parts: Buffer[] = []
  let head = `${JSON.stringify(request.outputs)}${request.parametersKey ?? ''}`
  for (const { datatype, shape, data } of request.inputs) {
    head += `|${datatype}[${shape.join()}]`
    parts.push(Array.isArray(data) ? Buffer.from(JSON.stringify(data)) : Buffer.from(data.buffer, data.byteOffset, data.byteLength))
  }
  const header = Buffer.from(head)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(header.length)
  return Buffer.concat([length, header, ...parts])
}
