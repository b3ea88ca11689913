import type { Decision } from './router/decision.ts'

/** What is known of one request while it is served: made once it has a place in a queue. */
export interface RequestContext {
  /** Which way it came: `v2`, `predict`, `library`, ... */
  readonly protocol: string
  /** The caller's own id, or ours. */
  readonly requestId: string
  /** Ours, unique: what later feedback refers to. */
  readonly predictionId: string
  readonly decision: Decision
  /** Monotonic milliseconds after which nobody waits any more. */
  readonly deadlineMs: number
  /** Smaller is more urgent; 0 is the default. */
  readonly priority: number
  /** The caller's W3C trace context, passed through. */
  readonly traceparent: string | undefined
  /** Monotonic milliseconds at arrival. */
  readonly startedMs: number
}
