import { SlipwayError } from '../../core/errors.ts'
import { LOAD_WAIT_MS } from '../../serving/data-plane.ts'
import { requireModel } from './access.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { RequestContext } from '../../serving/context.ts'
import type { Subject } from '../../serving/observe/events.ts'
import type { Loaded, Variant } from '../../serving/variant.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Exchange } from './exchange.ts'

/** What a dialect makes of a body. */
export interface Prepared {
  readonly inputs: readonly Tensor[]
  readonly rows: number
  readonly outputs: readonly string[]
  readonly warnings: readonly string[]
  readonly timeoutMs?: number | undefined
  /** Over that of the header. */
  readonly priority?: number | undefined
  /** Of request parameters that change a run. */
  readonly parametersKey?: string | undefined
}

export interface Done {
  readonly outputs: readonly Tensor[]
  readonly subject: Subject
  /** Of the answer. */
  readonly headers: Record<string, string> | undefined
}

/** What is special to a dialect on the way of a request. */
export interface Dialect {
  /** Makes tensors of the body. @throws what the client is told */
  prepare(body: Buffer, variant: Variant, loaded: Loaded): Prepared | Promise<Prepared>
  /** Answers. */
  respond(done: Done, loaded: Loaded): void
}

export interface Target {
  readonly name: string
  readonly version: string | undefined
}

/**
 * The way of every inference over HTTP, whatever the dialect: find the variant, hold a place in its queue, take the body
 * in, let the dialect make tensors of it, run, let the dialect answer. In callbacks: five promises per request were a
 * tenth of the time of a small one.
 * @throws what goes wrong before the body is read; everything later is answered here
 */
export function runRequest(exchange: Exchange, dataPlane: DataPlane, target: Target, dialect: Dialect): void {
  exchange.observed = true
  if (exchange.caller !== undefined) requireModel(exchange.caller, target.name)
  new Inference(exchange, dataPlane, target, dialect).start()
}

/** One request on its way. */
class Inference {
  readonly #exchange: Exchange
  readonly #dataPlane: DataPlane
  readonly #target: Target
  readonly #dialect: Dialect
  readonly #unitKey: string | undefined
  readonly #priority: number
  readonly #timeoutMs: number
  #variant: Variant
  #loaded: Loaded | undefined
  #release: (() => void) | undefined

  /** @throws what a header says wrongly; SLW_MODEL_NOT_FOUND */
  constructor(exchange: Exchange, dataPlane: DataPlane, target: Target, dialect: Dialect) {
    this.#exchange = exchange
    this.#dataPlane = dataPlane
    this.#target = target
    this.#dialect = dialect
    this.#unitKey = exchange.header('slipway-unit')
    this.#priority = priorityOf(exchange.header('slipway-priority'), 'header slipway-priority')
    this.#timeoutMs = timeoutOf(exchange.header('slipway-timeout-ms'))
    this.#variant = this.#route()
  }

  #route(): Variant {
    const variant = this.#dataPlane.endpoint(this.#target.name).route(this.#target.version, this.#unitKey)
    this.#exchange.subject = variant.subject
    return variant
  }

  start(): void {
    if (this.#variant.dormant) {
      this.#wake(() => this.#begin())
      return
    }
    this.#begin()
  }

  /** The model gave its memory back: it is loaded again, and the request waits for it as it would wait in a queue. */
  #wake(then: () => void): void {
    const deadlineMs = this.#exchange.startedMs + Math.min(this.#timeoutMs, LOAD_WAIT_MS)
    const variant = this.#variant
    this.#dataPlane
      .activate(variant, deadlineMs)
      .catch((error: unknown) => {
        // Another version took its place while it was being loaded: that one is asked.
        if (!variant.retired) throw error
      })
      .then(() => {
        this.#variant = this.#route()
        // Where memory is scarce it may have had to make room for another again.
        if (this.#variant.dormant) this.#wake(then)
        else then()
      })
      .catch((error: unknown) => this.#fail(error))
  }

  /** Decided before the body is taken in: a full queue costs the client one round trip and us nothing. */
  #begin(): void {
    const exchange = this.#exchange
    this.#holdPlace()
    try {
      exchange.collectBody((error, body) => {
        if (error !== undefined) {
          this.#fail(error)
          return
        }
        exchange.receivedMs = this.#dataPlane.clock.monotonicMs()
        this.#prepare(body)
      })
    } catch (error) {
      this.#release?.()
      throw error
    }
  }

  /** In the queue of the variant. @throws SLW_MODEL_NOT_READY, SLW_QUEUE_FULL, and that it would be late */
  #holdPlace(): void {
    const loaded = this.#variant.requireReady()
    this.#loaded = loaded
    const context = this.#context(loaded)
    this.#exchange.context = context
    this.#release = loaded.scheduler.reserve(context.priority, context.deadlineMs)
  }

  #context(loaded: Loaded): RequestContext {
    const exchange = this.#exchange
    const { startedMs } = exchange
    return {
      protocol: exchange.protocol,
      requestId: exchange.requestId,
      predictionId: exchange.predictionId,
      endpoint: this.#variant.subject.endpoint,
      variant: this.#variant.subject.variant,
      unitKey: this.#unitKey,
      deadlineMs: startedMs + Math.min(loaded.serving.requestTimeoutMs, this.#timeoutMs),
      priority: this.#priority,
      traceparent: exchange.header('traceparent'),
      startedMs,
    }
  }

  #prepare(body: Buffer): void {
    try {
      const variant = this.#variant
      const loaded = this.#loaded
      if (loaded === undefined || hasMoved(variant, loaded)) {
        this.#again(body)
        return
      }
      const prepared = this.#dialect.prepare(body, variant, loaded)
      if (prepared instanceof Promise) prepared.then((later) => this.#submit(later, body)).catch((error: unknown) => this.#fail(error))
      else this.#submit(prepared, body)
    } catch (error) {
      this.#fail(error)
    }
  }

  #submit(prepared: Prepared, body: Buffer): void {
    const variant = this.#variant
    const loaded = this.#loaded!
    const exchange = this.#exchange
    if (hasMoved(variant, loaded)) {
      this.#again(body)
      return
    }
    this.#release?.()
    exchange.preparedMs = this.#dataPlane.clock.monotonicMs()
    const { startedMs, deadlineMs: latestMs } = exchange.context!
    const { inputs, rows, outputs, parametersKey, timeoutMs, priority = this.#priority } = prepared
    const deadlineMs = timeoutMs === undefined ? latestMs : Math.min(latestMs, startedMs + timeoutMs)
    const cancel = variant.submit({ inputs, rows, outputs, priority, deadlineMs, parametersKey }, (error, result) => {
      if (result === undefined) {
        exchange.fail(error)
        return
      }
      exchange.work = result
      exchange.rows = rows
      guarded(exchange, () =>
        this.#dialect.respond(
          { outputs: result.outputs, subject: variant.subject, headers: answerHeaders(prepared.warnings, result.cache) },
          loaded,
        ),
      )
    })
    exchange.onDisconnect(cancel)
  }

  /**
   * While the body came in, another version took the place of the one the request was meant for, or it gave its memory
   * back. Nothing has run yet: the request goes to whoever is there now.
   */
  #again(body: Buffer): void {
    this.#release?.()
    this.#release = undefined
    this.#variant = this.#route()
    const resume = (): void => {
      this.#holdPlace()
      this.#prepare(body)
    }
    if (this.#variant.dormant) this.#wake(resume)
    else resume()
  }

  #fail(error: unknown): void {
    this.#release?.()
    this.#exchange.fail(error)
  }
}

/** Whether what a request was prepared for gives way, or has. */
function hasMoved(variant: Variant, loaded: Loaded): boolean {
  return variant.loaded !== loaded || variant.retired || variant.dormant
}

const PRIORITY_DEFAULT = 5

/**
 * A level from 1, the most urgent, to 9 as the scheduler wants it: 0 is the default. 0 and absent mean the default, as in
 * the Open Inference Protocol.
 */
export function priorityOf(value: unknown, where: string): number {
  if (value === undefined || value === 0) return 0
  const level = typeof value === 'string' && value !== '' ? Number(value) : value
  if (typeof level === 'number' && Number.isInteger(level) && level >= 0 && level <= 9) return level === 0 ? 0 : level - PRIORITY_DEFAULT
  throw new SlipwayError('SLW_BAD_REQUEST', `${where}: expected a whole number from 1 (most urgent) to 9, got ${JSON.stringify(value)}`)
}

function timeoutOf(header: string | undefined): number {
  if (header === undefined) return Number.POSITIVE_INFINITY
  const ms = Number(header)
  if (header !== '' && ms > 0) return ms
  throw new SlipwayError('SLW_BAD_REQUEST', `header slipway-timeout-ms: expected milliseconds above 0, got "${header}"`)
}

function guarded(exchange: Exchange, act: () => void): void {
  try {
    act()
  } catch (error) {
    exchange.fail(error)
  }
}

function answerHeaders(warnings: readonly string[], cache: string | undefined): Record<string, string> | undefined {
  if (warnings.length === 0 && cache === undefined) return undefined
  const headers: Record<string, string> = {}
  if (cache !== undefined) headers['slipway-cache'] = cache
  if (warnings.length > 0)
    headers['slipway-warnings'] = warnings
      .slice(0, 3)
      .join('; ')
      .replaceAll(/[^\x20-\x7e]/g, '?')
  return headers
}

/** @throws SLW_BAD_REQUEST naming the models, when there are several and none is the default */
export function soleEndpoint(dataPlane: DataPlane, defaultModel: string | undefined): string {
  if (defaultModel !== undefined) return defaultModel
  const names = [...dataPlane.endpoints.keys()]
  const [only] = names
  if (names.length === 1 && only !== undefined) return only
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `${names.length} models are served (${names.slice(0, 10).join(', ')}): POST /models/NAME/predict, or set defaultModel`,
  )
}
