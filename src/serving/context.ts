/** What is known of one request while it is served, made at the door. */
export interface RequestContext {
  /** Which door: `v2`, `predict`, `library`, ... */
  readonly protocol: string
  /** The caller's own id, or ours. */
  readonly requestId: string
  /** Ours, unique: what later feedback refers to. */
  readonly predictionId: string
  readonly endpoint: string
  /** The variant that was chosen: by the version asked for, else by weight. */
  readonly variant: string
  /** Whoever shares a key gets the same variant; undefined: each request is its own unit. */
  readonly unitKey: string | undefined
  /** Monotonic milliseconds after which nobody waits any more. */
  readonly deadlineMs: number
  /** Smaller is more urgent; 0 is the default. */
  readonly priority: number
  /** The caller's W3C trace context, passed through. */
  readonly traceparent: string | undefined
  /** Monotonic milliseconds at arrival. */
  readonly startedMs: number
}
