import type { Decision } from './router/decision.ts'

/** Facts about one request while it is served; made once the request has a place in a queue. */
export interface RequestContext {
  /** Protocol of the request: `v2`, `predict`, `library`, ... */
  readonly protocol: string
  /** Id given by the caller, else one made here. */
  readonly requestId: string
  /** Unique id of the prediction, made here: later feedback refers to it. */
  readonly predictionId: string
  readonly decision: Decision
  /** Monotonic milliseconds after which the caller no longer waits. */
  readonly deadlineMs: number
  /** Smaller is more urgent; 0 is the default. */
  readonly priority: number
  /** The caller's W3C trace context, passed through. */
  readonly traceparent: string | undefined
  /** Monotonic milliseconds at arrival. */
  readonly startedMs: number
}
