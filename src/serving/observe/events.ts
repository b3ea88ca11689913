import type { ErrorCode } from '../../core/errors.ts'

/** Which version of which model answered, as every observation names it. */
export interface Subject {
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
}

/** One finished request: the single thing that the data plane tells of it. */
export interface RequestEvent {
  readonly requestId: string
  readonly predictionId: string
  readonly protocol: string
  /** Undefined when no model was reached (an unknown name, say): such a request makes no series of its own. */
  readonly subject: Subject | undefined
  /** HTTP status, or its equivalent. */
  readonly status: number
  readonly errorCode: ErrorCode | undefined
  readonly errorMessage: string | undefined
  /** Monotonic milliseconds at arrival. */
  readonly startedMs: number
  /** Milliseconds; the parts are 0 where the request never came so far. What is left after the run is the answer's making. */
  readonly durationMs: number
  /** From arrival until the body was there. */
  readonly receiveMs: number
  /** Making tensors of the body. */
  readonly prepareMs: number
  readonly queueMs: number
  readonly batchWaitMs: number
  readonly computeMs: number
  readonly rows: number
  /** W3C trace context of the caller, passed through. */
  readonly traceparent: string | undefined
  /** Name of the API key it came with. */
  readonly caller?: string | undefined
}

/** One run of an instance. */
export interface BatchEvent {
  readonly subject: Subject
  readonly rows: number
  readonly requests: number
  readonly computeMs: number
  readonly instance: 'inline' | 'pool'
  readonly failed: boolean
}

/** An instance ended by itself. */
export interface InstanceFailureEvent {
  readonly subject: Subject
  readonly reason: string
  readonly message: string
}

/** Who wants to know. Called on the hot path: an observer does little and never throws. */
export interface Observer {
  request?(event: RequestEvent): void
  batch?(event: BatchEvent): void
  instanceFailure?(event: InstanceFailureEvent): void
}

/** One observer that tells all of them. */
export function observeAll(observers: readonly Observer[]): Required<Observer> {
  return {
    request: (event) => observers.forEach((observer) => observer.request?.(event)),
    batch: (event) => observers.forEach((observer) => observer.batch?.(event)),
    instanceFailure: (event) => observers.forEach((observer) => observer.instanceFailure?.(event)),
  }
}
