/** Who asks for a prediction, whatever the way: an exchange of HTTP, an application, later gRPC, a queue, a batch. */
import type { SlipwayError } from '../core/errors.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { RequestContext } from './context.ts'
import type { CacheResult, Subject } from './observe/events.ts'
import type { Loaded } from './variant.ts'

/** What is asked for, and on what terms. */
export interface Terms {
  readonly endpoint: string
  readonly version?: string | undefined
  /** Whoever shares one gets the same variant. */
  readonly unit?: string | undefined
  /** Smaller is more urgent; 0 is the default. */
  readonly priority: number
  /** Milliseconds from arrival. Default: `requestTimeoutMs` of the model. */
  readonly timeoutMs?: number | undefined
  /** Whether `timeoutMs` may be more than the model's `requestTimeoutMs`. */
  readonly patient?: boolean
}

/** What a caller makes of what it collected. */
export interface Prepared {
  readonly inputs: readonly Tensor[]
  readonly rows: number
  readonly outputs: readonly string[]
  readonly warnings: readonly string[]
  readonly timeoutMs?: number | undefined
  /** Over that of the terms. */
  readonly priority?: number | undefined
  /** Of request parameters that change a run. */
  readonly parametersKey?: string | undefined
}

/** What came of it: all of the outputs, or one part of them. */
export interface Answered {
  readonly context: RequestContext
  readonly subject: Subject
  readonly outputs: readonly Tensor[]
  readonly warnings: readonly string[]
  readonly cache: CacheResult | undefined
}

/** One request of one caller. `answer` or `fail` is called exactly once, as the last of all. */
export interface Caller<Body> {
  readonly protocol: string
  readonly requestId: string
  readonly predictionId: string
  /** Monotonic milliseconds. */
  readonly startedMs: number
  readonly traceparent: string | undefined
  /** Name of the API key that it came with. */
  readonly keyName: string | undefined
  /** @throws what in it cannot be understood, or is not allowed */
  terms(): Terms
  /**
   * Takes in what is to be answered and calls back once. Called when a place in the queue is held: what is refused costs a caller one way
   * there and back, and us nothing.
   * @throws what is known before anything has come
   */
  collect(done: (error: SlipwayError | undefined, body: Body) => void): void
  /** Makes tensors of it, for the version that is about to run. Called again where another one took its place meanwhile. @throws what is wrong */
  prepare(body: Body, loaded: Loaded): Prepared | Promise<Prepared>
  /** Hears when nobody waits for the answer any more; at once where that is so already. */
  onGone(cancel: () => void): void
  /** Takes one part of an answer that comes in several; then `answer` has none of the outputs. Default: it takes them as one. */
  readonly part?: ((part: Answered) => void) | undefined
  /** @returns what it told, as a status of HTTP. @throws what goes wrong in telling, before anything was told */
  answer(answered: Answered): number
  /** @returns as `answer` */
  fail(error: SlipwayError): number
}
