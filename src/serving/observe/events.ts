import type { ErrorCode } from '../../core/errors.ts'
import type { Decision } from '../router/decision.ts'

/** The version of a model that answered, as every observation names it. */
export interface Subject {
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
}

/** Answered from memory; together with an equal request that was running; by a run of its own. */
export type CacheResult = 'hit' | 'shared' | 'miss'

/** Classes, or numbers that are right more or less. */
export interface Predictions {
  readonly numeric: boolean
  readonly values: readonly (string | number | boolean)[]
}

/** An attempt that failed, after which another variant answered. */
export interface Attempt {
  readonly subject: Subject
  readonly errorCode: ErrorCode
  readonly durationMs: number
}

/** One finished request: the only event that the data plane reports of it. */
export interface RequestEvent {
  readonly requestId: string
  readonly predictionId: string
  readonly protocol: string
  /** Undefined when no model was reached (an unknown name, say): such a request makes no series of its own. */
  readonly subject: Subject | undefined
  /** Choice of the variant; undefined where `subject` is. */
  readonly decision: Decision | undefined
  /** The attempt of the assigned variant, where that failed or was late and another one answered. */
  readonly attempt?: Attempt | undefined
  /** What was predicted for the first rows; undefined where nothing was. */
  readonly predictions?: Predictions | undefined
  /** HTTP status, or its equivalent. */
  readonly status: number
  readonly errorCode: ErrorCode | undefined
  readonly errorMessage: string | undefined
  /** Monotonic milliseconds at arrival. */
  readonly startedMs: number
  /** Milliseconds; the parts are 0 where the request never got so far. The rest after the run is the making of the answer. */
  readonly durationMs: number
  /** From arrival until the whole body had come. */
  readonly receiveMs: number
  /** Making tensors of the body. */
  readonly prepareMs: number
  readonly queueMs: number
  readonly batchWaitMs: number
  readonly computeMs: number
  readonly rows: number
  /** Result of the model's cache; undefined where the model has none, or the request never came to it. */
  readonly cache: CacheResult | undefined
  /** Time that the cache took: to find the answer or the run to wait for, and to keep the answer of a run. 0 without a cache. */
  readonly cacheMs: number
  /** W3C trace context of the caller, passed through. */
  readonly traceparent: string | undefined
  /** Name of the request's API key. */
  readonly caller?: string | undefined
}

/** One run of an instance. */
export interface BatchEvent {
  readonly subject: Subject
  readonly rows: number
  readonly requests: number
  /** Making one set of tensors of those of the requests. */
  readonly inputMs: number
  readonly computeMs: number
  /** The rest of the run: the way to the instance and back. */
  readonly outputMs: number
  readonly instance: 'inline' | 'pool'
  readonly failed: boolean
}

/** An instance ended by itself. */
export interface InstanceFailureEvent {
  readonly subject: Subject
  readonly reason: string
  readonly message: string
}

/** Another instance has taken the place of one that ended. */
export interface InstanceRecoveryEvent {
  readonly subject: Subject
}

/** A version was loaded, or could not be. */
export interface LoadEvent {
  readonly subject: Subject
  /** Undefined when it succeeded. */
  readonly error: ErrorCode | undefined
  readonly loadMs: number
  readonly warmUpMs: number
}

/** A version was unloaded: another one replaced it, it is no longer desired, or memory was short. */
export interface UnloadEvent {
  readonly subject: Subject
  readonly reason: 'replaced' | 'removed' | 'evicted'
}

/** The versions of an endpoint changed, or a change of them failed. */
export interface ChangeEvent {
  readonly endpoint: string
  readonly ok: boolean
  readonly switchMs: number
  readonly drainMs: number
}

/** A variant was taken out of the traffic of this server, as it did nothing but fail. */
export interface TripEvent {
  readonly subject: Subject
  readonly reason: string
}

/**
 * What became of the copy of a request that a shadow got: it answered the same or something else; only it failed (`worse`), only the
 * variant that was asked (`better`), or both; `dropped`: there was no room for it.
 */
export type ShadowResult = 'same' | 'different' | 'worse' | 'better' | 'both failed' | 'dropped'

export interface ShadowEvent {
  /** The prediction whose request was copied: both answers are of it. */
  readonly predictionId: string
  /** The shadow. */
  readonly subject: Subject
  readonly base: Subject
  readonly segment: number
  readonly result: ShadowResult
}

/** A true outcome came for a prediction of this server or another one. */
export interface FeedbackEvent {
  readonly subject: Subject
  readonly segment: number
  /** Whether the prediction was right; undefined where it cannot be told. */
  readonly right: boolean | undefined
  /** From the prediction to its label. */
  readonly delayMs: number
}

/** Receiver of events. Called on the hot path: an observer does little and never throws. */
export interface Observer {
  request?(event: RequestEvent): void
  batch?(event: BatchEvent): void
  instanceFailure?(event: InstanceFailureEvent): void
  instanceRecovered?(event: InstanceRecoveryEvent): void
  load?(event: LoadEvent): void
  unload?(event: UnloadEvent): void
  change?(event: ChangeEvent): void
  tripped?(event: TripEvent): void
  shadow?(event: ShadowEvent): void
  feedback?(event: FeedbackEvent): void
}

/** One observer that passes events on to all of them. */
export function observeAll(observers: readonly Observer[]): Required<Observer> {
  return {
    request: (event) => observers.forEach((observer) => observer.request?.(event)),
    batch: (event) => observers.forEach((observer) => observer.batch?.(event)),
    instanceFailure: (event) => observers.forEach((observer) => observer.instanceFailure?.(event)),
    instanceRecovered: (event) => observers.forEach((observer) => observer.instanceRecovered?.(event)),
    load: (event) => observers.forEach((observer) => observer.load?.(event)),
    unload: (event) => observers.forEach((observer) => observer.unload?.(event)),
    change: (event) => observers.forEach((observer) => observer.change?.(event)),
    tripped: (event) => observers.forEach((observer) => observer.tripped?.(event)),
    shadow: (event) => observers.forEach((observer) => observer.shadow?.(event)),
    feedback: (event) => observers.forEach((observer) => observer.feedback?.(event)),
  }
}
