/**
 * Serving is the data plane: endpoints and their variants, which version is in memory, which request goes to which variant, and in which
 * batch. This file is the one entry point for predictions.
 *
 * Steps of a prediction: find the endpoint, decide for a variant, wake it, hold a place in its queue, collect, make tensors, run, fall back
 * where that failed and another variant stands in, answer, report the event, copy to shadows. Everything that asks for predictions is a `Caller`, and repeats none of these steps.
 */
import { SERVING_DEFAULTS } from '../contract/serving-options.ts'
import { SlipwayError, toSlipwayError } from '../core/errors.ts'
import { predictionsOf } from '../signature/predictions.ts'
import { LOAD_WAIT_MS } from './data-plane.ts'
import { isEvidence, outcomeOf, WRONG } from './observe/outcome.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Caller, Prepared, Terms } from './caller.ts'
import type { RequestContext } from './context.ts'
import type { DataPlane } from './data-plane.ts'
import type { Endpoint } from './endpoint.ts'
import type { Attempt, CacheResult, Predictions } from './observe/events.ts'
import type { TakeOutputs } from './observe/taps.ts'
import type { Outcome } from './observe/outcome.ts'
import type { Decision } from './router/decision.ts'
import type { Routed } from './router/router.ts'
import type { Cancel, Settle, WorkResult } from './scheduler/scheduler.ts'
import type { Copies } from './shadows.ts'
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
  #endpoint: Endpoint | undefined
  #decision: Decision | undefined
  #variant: Variant | undefined
  #loaded: Loaded | undefined
  #context: RequestContext | undefined
  #release: (() => void) | undefined
  /** Whether the body decides for the variant: until it has been read, the place is held in the one with the largest share. */
  #undecided = false
  /** The attempt that failed, once another variant stands in. */
  #attempt: Attempt | undefined
  #predictions: Predictions | undefined
  #notNumber = false
  /** Whether the time that the request has is the model's own limit, and not less that its client asked for. */
  #isOwnLimit = true
  #copies: Copies | undefined
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
      this.#find()
      const decided = this.#endpoint!.decide(terms)
      this.#undecided = decided === undefined
      this.#take(decided ?? this.#endpoint!.provisional)
      this.#whenAwake(() => this.#begin())
    } catch (error) {
      this.#fail(error)
    }
  }

  /** @throws SLW_MODEL_NOT_FOUND */
  #find(): void {
    this.#endpoint = this.#dataPlane.endpoint(this.#terms!.endpoint)
  }

  #take({ decision, variant }: Routed<Variant>): void {
    this.#decision = decision
    this.#variant = variant
  }

  /** Looks the assigned variant up again. @throws SLW_MODEL_NOT_FOUND where there is none any more */
  #findAgain(): void {
    this.#find()
    this.#take(this.#endpoint!.again({ decision: this.#decision!, variant: this.#variant! }, this.#terms!))
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
    this.#holdPlaceOrStandIn()
    this.#caller.collect((error, body) => {
      if (error !== undefined) {
        this.#fail(error)
        return
      }
      this.#receivedMs = this.#dataPlane.clock.monotonicMs()
      if (this.#undecided) this.#decide(body)
      else this.#prepare(body)
    })
  }

  /** Decides by the body, and goes to the queue of another variant where it is for that. */
  #decide(body: Body): void {
    try {
      this.#undecided = false
      const before = this.#variant
      this.#find()
      const endpoint = this.#endpoint!
      this.#take(endpoint.decide(this.#terms!) ?? endpoint.provisional)
      if (this.#variant === before) {
        this.#context = this.#contextFor(this.#loaded!)
        this.#prepare(body)
        return
      }
      this.#release?.()
      this.#release = undefined
      // Where the base has no place, the request is refused before it is known whose it is: here it is no evidence either.
      if (!this.#hasRoom()) this.#decision = { ...this.#decision!, assignment: 'incomplete' }
      this.#resume(body)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Whether the variant would take the request into its queue now. */
  #hasRoom(): boolean {
    try {
      const loaded = this.#variant!.requireReady()
      const { priority, deadlineMs } = this.#contextFor(loaded)
      loaded.scheduler.reserve(priority, deadlineMs)()
      return true
    } catch {
      return false
    }
  }

  /** Holds a place in the variant's queue, or in that of the one that stands in where there is none. @throws as `#holdPlace` */
  #holdPlaceOrStandIn(): void {
    try {
      this.#holdPlace()
    } catch (error) {
      this.#standIn(error)
      this.#holdPlace()
    }
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
    const { priority: asked, timeoutMs = serving.requestTimeoutMs, patient = false } = this.#terms!
    // The scheduler's own middle is 0.
    const priority = asked ?? serving.defaultPriority - SERVING_DEFAULTS.defaultPriority
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
    const { inputs, rows, lengths, outputs, warnings, parametersKey, timeoutMs } = prepared
    const priority = prepared.priority ?? context.priority
    const { startedMs, deadlineMs: latestMs } = context
    const lastMs = timeoutMs === undefined ? latestMs : Math.min(latestMs, startedMs + timeoutMs)
    // Another variant has the other half of the time.
    const mayFallBack = this.#mayFallBack
    const deadlineMs = mayFallBack ? startedMs + (lastMs - startedMs) / 2 : lastMs
    this.#isOwnLimit = lastMs - startedMs >= this.#loaded!.serving.requestTimeoutMs
    this.#rows = rows
    const { subject } = variant
    const { taps, shadows } = this.#dataPlane
    const takers = taps.any ? taps.open({ context, subject, inputs, rows }) : undefined
    const onPart =
      caller.part === undefined
        ? undefined
        : (part: WorkResult['outputs']): void => {
            takers?.(part)
            caller.part!({ context, subject, outputs: part, warnings, cache: undefined, receipt: () => this.#receipt(undefined) })
          }
    const endpoint = this.#endpoint!
    if (endpoint.routing.shadows !== undefined && onPart === undefined && this.#attempt === undefined && variant === endpoint.main)
      this.#copies = shadows.copy({
        endpoint,
        base: variant,
        context,
        inputs,
        rows,
        lengths,
        outputs,
        parametersKey,
        timeoutMs: deadlineMs - startedMs,
      })
    // The first attempt of a variant that another one may stand in for is over once its part of the time is, also while it runs.
    let open = true
    const late = mayFallBack
      ? this.#dataPlane.clock.after(deadlineMs - this.#preparedMs, () => {
          if (!open || this.#ended) return
          open = false
          cancel()
          this.#failOrFallBack(
            new SlipwayError('SLW_DEADLINE_EXCEEDED', `${subject.variant} has not answered in its half of the time`),
            body,
          )
        })
      : undefined
    const settle: Settle = (error, result) => {
      if (!open) return
      open = false
      late?.()
      if (result !== undefined) this.#answer(result, warnings, onPart === undefined ? takers : undefined)
      else if (variant.retired && isNotBegun(error)) this.#elsewhere(error, body)
      else this.#failOrFallBack(error, body)
    }
    let cancel: Cancel = () => {}
    try {
      cancel = variant.submit({ inputs, rows, lengths, outputs, priority, deadlineMs, parametersKey, onPart }, settle)
    } catch (error) {
      settle(toSlipwayError(error), undefined)
    }
    // A request answered from the cache has ended already.
    if (open && !this.#ended) caller.onGone(cancel)
  }

  /** Whether another variant may still stand in for the assigned one. A tester wants to see what the variant does. */
  get #mayFallBack(): boolean {
    const { assigned, served, assignment } = this.#decision!
    if (this.#attempt !== undefined || assigned !== served || this.#undecided || this.#caller.part !== undefined) return false
    if (assignment === 'forced' || assignment === 'version') return false
    const endpoint = this.#endpoint!
    return endpoint.routing.fallbacks?.includes(assigned) === true && endpoint.main !== this.#variant && endpoint.main?.ready === true
  }

  /** Lets the variant with the largest share take the place of the assigned one, which has failed. @throws the error where it does not */
  #standIn(thrown: unknown): void {
    const error = toSlipwayError(thrown)
    const outcome = outcomeOf(error.code)
    if (outcome === undefined || !WRONG.has(outcome) || !this.#mayFallBack) throw error
    const base = this.#endpoint!.main!
    const { subject } = this.#variant!
    this.#attempt = { subject, errorCode: error.code, durationMs: this.#dataPlane.clock.monotonicMs() - this.#caller.startedMs }
    this.#noteFor(subject.variant, outcome)
    this.#take({ variant: base, decision: { ...this.#decision!, served: base.spec.name } })
  }

  #failOrFallBack(thrown: unknown, body: Body): void {
    if (this.#ended) return
    try {
      this.#standIn(thrown)
      this.#resume(body)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** What the client can refer to later. */
  #receipt(predicted: string | number | boolean | undefined, cache?: CacheResult): string {
    const decision = this.#decision!
    const { predictionId } = this.#context!
    const evidence = decision.assigned === decision.served && isEvidence(decision, cache)
    const { subject } = this.#variant!
    const numeric = this.#loaded!.signature.answer.task === 'regression'
    return this.#endpoint!.receipts.write(predictionId, { decision, subject, evidence, numeric, predicted })
  }

  #answer(result: WorkResult, warnings: readonly string[], takers: TakeOutputs | undefined): void {
    if (this.#ended) return
    try {
      const context = this.#context!
      const { outputs, cache } = result
      takers?.(outputs)
      this.#copies?.answered(outputs)
      this.#copies = undefined
      const { signature } = this.#loaded!
      const values = predictionsOf(signature, outputs, this.#rows)
      if (values.length > 0) this.#predictions = { numeric: signature.answer.task === 'regression', values }
      if (this.#endpoint!.variants.length > 1) this.#notNumber = hasNotNumber(outputs)
      const predicted = this.#rows === 1 ? values[0] : undefined
      const status = this.#caller.answer({
        context,
        subject: this.#variant!.subject,
        outputs,
        warnings,
        cache,
        receipt: () => this.#receipt(predicted, cache),
      })
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
    this.#dropCopies()
    this.#release?.()
    this.#release = undefined
    this.#findAgain()
    this.#resume(body)
  }

  #resume(body: Body): void {
    this.#whenAwake(() => {
      this.#holdPlaceOrStandIn()
      this.#prepare(body)
    })
  }

  /** Sends a request that its replaced variant accepted and did not run to the variant that replaced it. */
  #elsewhere(thrown: unknown, body: Body): void {
    if (this.#ended) return
    this.#dropCopies()
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

  #dropCopies(): void {
    this.#copies?.drop()
    this.#copies = undefined
  }

  /** What became of the request, for the breaker and the shadows. */
  #note(error: SlipwayError | undefined): void {
    const endpoint = this.#endpoint!
    const outcome = outcomeOf(error?.code)
    if (outcome === 'failed') this.#copies?.answered(undefined)
    else this.#copies?.drop()
    this.#copies = undefined
    if (endpoint.variants.length > 1 && outcome !== undefined) this.#noteFor(this.#variant!.spec.name, outcome)
  }

  /** Tells the breaker, unless it is the client's doing: one that chose the variant, or had less patience than the model takes. */
  #noteFor(variant: string, outcome: Outcome): void {
    const { assignment } = this.#decision!
    if (assignment !== 'randomised' && assignment !== 'incomplete') return
    if (outcome === 'late' && !this.#isOwnLimit) return
    this.#endpoint!.breaker.note(variant, { outcome, notNumber: this.#notNumber })
  }

  /** Reports one event for each request, once it is answered. */
  #tell(status: number, error: SlipwayError | undefined, work: WorkResult | undefined): void {
    this.#ended = true
    if (this.#variant !== undefined) this.#note(error)
    const { requestId, predictionId, protocol, startedMs, traceparent, keyName } = this.#caller
    const receivedMs = this.#receivedMs
    this.#dataPlane.observer.request({
      requestId,
      predictionId,
      protocol,
      subject: this.#variant?.subject,
      decision: this.#decision,
      attempt: this.#attempt,
      predictions: this.#predictions,
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
      cacheMs: work?.cacheMs ?? 0,
      caller: keyName,
      traceparent,
    })
  }
}

/** Elements of an output that are looked at. */
const LOOKED_AT = 16

/** Whether an output that is to be numbers begins with NaN. */
function hasNotNumber(outputs: readonly Tensor[]): boolean {
  return outputs.some(({ data, datatype }) => {
    if (datatype !== 'FP32' && datatype !== 'FP64') return false
    for (let index = 0; index < Math.min(LOOKED_AT, data.length); index++) if (Number.isNaN(data[index])) return true
    return false
  })
}

/** Whether the scheduler was closed before it ran the request. */
function isNotBegun(error: unknown): boolean {
  return error instanceof SlipwayError && (error.code === 'SLW_DRAINING' || error.code === 'SLW_CLOSED')
}
