/**
 * Serving is the data plane: endpoints and their variants, which version is in memory, which request goes to which variant, and in which
 * batch. This file is the one entry point for predictions.
 *
 * Steps of a prediction: find the endpoint, decide for a variant, wake it, hold a place in its queue, collect, make tensors, run, answer,
 * report the event. Everything that asks for predictions is a `Caller`, and repeats none of these steps.
 */
import { SlipwayError, toSlipwayError } from '../core/errors.ts'
import { LOAD_WAIT_MS } from './data-plane.ts'
import type { Caller, Prepared, Terms } from './caller.ts'
import type { RequestContext } from './context.ts'
import type { DataPlane } from './data-plane.ts'
import type { Endpoint } from './endpoint.ts'
import type { TakeOutputs } from './observe/taps.ts'
import type { Decision } from './router/decision.ts'
import type { Routed } from './router/router.ts'
import type { WorkResult } from './scheduler/scheduler.ts'
import type { Loaded, Variant } from './variant.ts'

/** Answers a caller. Errors go to the caller, and nothing is thrown. */
export function infer<Body>(dataPlane: DataPlane, caller: Caller<Body>): void {
  new Inference(dataPlane, caller).start()
}

/** One request on its way. Written with callbacks: five promises per request were a tenth of the time of a small one. */
class Inference<Body> {
  readonly #dataPlane: DataPlane
  readonly #caller: Caller<Body>
  #terms: Terms | undefined
  #decision: Decision | undefined
  #variant: Variant | undefined
  #loaded: Loaded | undefined
  #context: RequestContext | undefined
  #release: (() => void) | undefined
  /** Monotonic milliseconds when the whole body had come, and when it had been made into tensors; 0 before. */
  #receivedMs = 0
  #preparedMs = 0
  #rows = 0
  #ended = false

  constructor(dataPlane: DataPlane, caller: Caller<Body>) {
    this.#dataPlane = dataPlane
    this.#caller = caller
  }

  start(): void {
    try {
      const terms = this.#caller.terms()
      this.#terms = terms
      this.#take(this.#endpoint(terms).decide(terms))
      this.#whenAwake(() => this.#begin())
    } catch (error) {
      this.#fail(error)
    }
  }

  #endpoint({ endpoint }: Terms): Endpoint {
    return this.#dataPlane.endpoint(endpoint)
  }

  #take({ decision, variant }: Routed<Variant>): void {
    this.#decision = decision
    this.#variant = variant
  }

  /** Looks the assigned variant up again. @throws SLW_MODEL_NOT_FOUND where there is none any more */
  #findAgain(): void {
    const terms = this.#terms!
    this.#take(this.#endpoint(terms).again({ decision: this.#decision!, variant: this.#variant! }, terms.version))
  }

  /**
   * Loads an unloaded model again, for which the request waits as it would wait in a queue. `then` may throw: at once through this
   * method, later into `#fail`.
   */
  #whenAwake(then: () => void): void {
    const variant = this.#variant!
    if (!variant.dormant) {
      then()
      return
    }
    const deadlineMs = this.#caller.startedMs + Math.min(this.#terms!.timeoutMs ?? LOAD_WAIT_MS, LOAD_WAIT_MS)
    let failure: unknown
    this.#dataPlane
      .activate(variant, deadlineMs)
      .catch((error: unknown) => {
        // Another version replaced the variant during the load: the request goes to that one.
        if (!variant.retired) throw error
        failure = error
      })
      .then(() => {
        this.#findAgain()
        // No version has replaced the variant: the server is closing.
        if (failure !== undefined && this.#variant === variant) throw failure
        // The variant may have been unloaded again for another one, where memory is scarce.
        this.#whenAwake(then)
      })
      .catch((error: unknown) => this.#fail(error))
  }

  /** Holds a place before the body is read: a full queue costs the client one round trip and the server nothing. */
  #begin(): void {
    this.#holdPlace()
    this.#caller.collect((error, body) => {
      if (error !== undefined) {
        this.#fail(error)
        return
      }
      this.#receivedMs = this.#dataPlane.clock.monotonicMs()
      this.#prepare(body)
    })
  }

  /** Holds a place in the variant's queue. @throws SLW_MODEL_NOT_READY, SLW_QUEUE_FULL, and errors of an answer that would be late */
  #holdPlace(): void {
    const loaded = this.#variant!.requireReady()
    const context = this.#contextFor(loaded)
    this.#loaded = loaded
    this.#context = context
    this.#release = loaded.scheduler.reserve(context.priority, context.deadlineMs)
  }

  #contextFor({ serving }: Loaded): RequestContext {
    const { protocol, requestId, predictionId, startedMs, traceparent } = this.#caller
    const { priority, timeoutMs = serving.requestTimeoutMs, patient = false } = this.#terms!
    const limitMs = patient ? timeoutMs : Math.min(serving.requestTimeoutMs, timeoutMs)
    return {
      protocol,
      requestId,
      predictionId,
      decision: this.#decision!,
      deadlineMs: startedMs + limitMs,
      priority,
      traceparent,
      startedMs,
    }
  }

  /** Whether the variant that the request was meant for has been replaced or unloaded, or is about to be. */
  get #hasMoved(): boolean {
    const variant = this.#variant!
    return variant.loaded !== this.#loaded || variant.retired || variant.dormant
  }

  #prepare(body: Body): void {
    try {
      if (this.#hasMoved) {
        this.#again(body)
        return
      }
      const prepared = this.#caller.prepare(body, this.#loaded!)
      if (prepared instanceof Promise) prepared.then((later) => this.#submit(later, body)).catch((error: unknown) => this.#fail(error))
      else this.#submit(prepared, body)
    } catch (error) {
      this.#fail(error)
    }
  }

  #submit(prepared: Prepared, body: Body): void {
    if (this.#hasMoved) {
      this.#again(body)
      return
    }
    this.#release?.()
    this.#preparedMs = this.#dataPlane.clock.monotonicMs()
    const caller = this.#caller
    const variant = this.#variant!
    const context = this.#context!
    const { inputs, rows, outputs, warnings, parametersKey, timeoutMs, priority = context.priority } = prepared
    const { startedMs, deadlineMs: latestMs } = context
    const deadlineMs = timeoutMs === undefined ? latestMs : Math.min(latestMs, startedMs + timeoutMs)
    this.#rows = rows
    const { subject } = variant
    const { taps } = this.#dataPlane
    const takers = taps.any ? taps.open({ context, subject, inputs, rows }) : undefined
    const onPart =
      caller.part === undefined
        ? undefined
        : (part: WorkResult['outputs']): void => {
            takers?.(part)
            caller.part!({ context, subject, outputs: part, warnings, cache: undefined })
          }
    const cancel = variant.submit({ inputs, rows, outputs, priority, deadlineMs, parametersKey, onPart }, (error, result) => {
      if (result !== undefined) this.#answer(result, warnings, onPart === undefined ? takers : undefined)
      else if (variant.retired && isNotBegun(error)) this.#elsewhere(error, body)
      else this.#fail(error)
    })
    // A request answered from the cache has ended already.
    if (!this.#ended) caller.onGone(cancel)
  }

  #answer(result: WorkResult, warnings: readonly string[], takers: TakeOutputs | undefined): void {
    if (this.#ended) return
    try {
      const context = this.#context!
      const { outputs, cache } = result
      takers?.(outputs)
      const status = this.#caller.answer({ context, subject: this.#variant!.subject, outputs, warnings, cache })
      if (status instanceof Promise)
        status.then((later) => this.#tell(later, undefined, result)).catch((error: unknown) => this.#fail(error, result))
      else this.#tell(status, undefined, result)
    } catch (error) {
      this.#fail(error, result)
    }
  }

  /**
   * Handles a variant that was replaced or unloaded while the body came in. Nothing has run yet: the request goes to the
   * variant that serves now.
   */
  #again(body: Body): void {
    this.#release?.()
    this.#release = undefined
    this.#findAgain()
    this.#resume(body)
  }

  #resume(body: Body): void {
    this.#whenAwake(() => {
      this.#holdPlace()
      this.#prepare(body)
    })
  }

  /** Sends a request that its replaced variant accepted and did not run to the variant that replaced it. */
  #elsewhere(thrown: unknown, body: Body): void {
    if (this.#ended) return
    const before = this.#variant
    try {
      this.#findAgain()
      if (this.#variant === before) throw thrown
      this.#resume(body)
    } catch {
      this.#fail(thrown)
    }
  }

  #fail(thrown: unknown, result?: WorkResult): void {
    this.#release?.()
    if (this.#ended) return
    const error = toSlipwayError(thrown)
    this.#tell(this.#caller.fail(error), error, result)
  }

  /** Reports one event for each request, once it is answered. */
  #tell(status: number, error: SlipwayError | undefined, work: WorkResult | undefined): void {
    this.#ended = true
    const { requestId, predictionId, protocol, startedMs, traceparent, keyName } = this.#caller
    const receivedMs = this.#receivedMs
    this.#dataPlane.observer.request({
      requestId,
      predictionId,
      protocol,
      subject: this.#variant?.subject,
      decision: this.#decision,
      status,
      errorCode: error?.code,
      errorMessage: error?.message,
      startedMs,
      durationMs: this.#dataPlane.clock.monotonicMs() - startedMs,
      receiveMs: Math.max(0, receivedMs - startedMs),
      prepareMs: Math.max(0, this.#preparedMs - receivedMs),
      queueMs: work?.queueMs ?? 0,
      batchWaitMs: work?.batchWaitMs ?? 0,
      computeMs: work?.computeMs ?? 0,
      rows: this.#rows,
      cache: work?.cache,
      caller: keyName,
      traceparent,
    })
  }
}

/** Whether the scheduler was closed before it ran the request. */
function isNotBegun(error: unknown): boolean {
  return error instanceof SlipwayError && (error.code === 'SLW_DRAINING' || error.code === 'SLW_CLOSED')
}
