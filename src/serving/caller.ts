/** Callers ask for predictions, over any protocol: an HTTP exchange, an application, later gRPC, a queue, a batch. */
import type { SlipwayError } from '../core/errors.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { RequestContext } from './context.ts'
import type { CacheResult, Subject } from './observe/events.ts'
import type { Asked } from './router/router.ts'
import type { Loaded } from './variant.ts'

/** Target of a request, and its priority and time limit. */
export interface Terms extends Omit<Asked, 'point'> {
  readonly endpoint: string
  /** Smaller is more urgent; 0 is the middle. Undefined: that of the model. */
  readonly priority: number | undefined
  /** Milliseconds from arrival. Default: `requestTimeoutMs` of the model. */
  readonly timeoutMs?: number | undefined
  /** Whether `timeoutMs` may be more than the model's `requestTimeoutMs`. */
  readonly patient?: boolean
}

/** Tensors and settings that a caller makes of the body it collected. */
export interface Prepared {
  readonly inputs: readonly Tensor[]
  readonly rows: number
  /** Of texts: the tokens of each row. */
  readonly lengths?: readonly number[] | undefined
  readonly outputs: readonly string[]
  readonly warnings: readonly string[]
  readonly timeoutMs?: number | undefined
  /** Overrides that of the terms. */
  readonly priority?: number | undefined
  /** Key of the request parameters that change a run. */
  readonly parametersKey?: string | undefined
}

/** Result of a request: all of the outputs, or one part of them. */
export interface Answered {
  readonly context: RequestContext
  readonly subject: Subject
  readonly outputs: readonly Tensor[]
  readonly warnings: readonly string[]
  readonly cache: CacheResult | undefined
  /** Writes the receipt that feedback refers to. */
  readonly receipt: () => string
}

/** One request of one caller. `answer` or `fail` is called exactly once, after everything else. */
export interface Caller<Body> {
  readonly protocol: string
  readonly requestId: string
  readonly predictionId: string
  /** Monotonic milliseconds. */
  readonly startedMs: number
  readonly traceparent: string | undefined
  /** Name of the request's API key. */
  readonly keyName: string | undefined
  /** @throws errors of a request that cannot be understood, or is not allowed */
  terms(): Terms
  /**
   * Reads the body and calls back once. Called when a place in the queue is held: a refused request costs its client one round trip, and
   * the server nothing.
   * @throws errors that are known before any of the body has come
   */
  collect(done: (error: SlipwayError | undefined, body: Body) => void): void
  /** Makes tensors of the body for the version about to run; called again where another one replaced that. @throws errors of the body */
  prepare(body: Body, loaded: Loaded): Prepared | Promise<Prepared>
  /** Calls `cancel` when nobody waits for the answer any more; at once where that is so already. */
  onGone(cancel: () => void): void
  /** Takes one part of an answer that comes in several; `answer` then gets no outputs. Default: `answer` gets all of them. */
  readonly part?: ((part: Answered) => void) | undefined
  /** @returns the status of the answer, as in HTTP; later where it takes a while to write. @throws errors of sending, before any of the answer was sent */
  answer(answered: Answered): number | Promise<number>
  /** @returns as `answer` */
  fail(error: SlipwayError): number
}
