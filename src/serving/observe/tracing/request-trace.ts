import type { ErrorCode } from '../../../core/errors.ts'
import type { RequestEvent } from '../events.ts'

/** A part of a request, on the monotonic scale. */
export interface Part {
  readonly name: 'preprocess' | 'queue' | 'model_forward' | 'postprocess'
  readonly startMs: number
  readonly endMs: number
  /** Whether the request ended in this part with an error. */
  readonly failed: boolean
}

/** A request that is exported as a trace. */
export interface RequestTrace {
  readonly event: RequestEvent
  readonly parts: readonly Part[]
  readonly traceId: Uint8Array
  /** Span id of the caller; undefined: the trace begins here. */
  readonly parentSpanId: Uint8Array | undefined
  /** W3C trace flags. */
  readonly flags: number
}

/** Errors of requests that ended while they waited in the queue. */
const ENDED_IN_QUEUE: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode | undefined>(['SLW_DEADLINE_EXCEEDED'])

/**
 * The parts that a request reached, one after the other and all within its own time. Receiving the body is none of them: that
 * is the time before `preprocess`, whose length the client decides. Where a run failed, the event does not have the start
 * of the run, so that no part covers the time after `preprocess`.
 */
export function partsOf(event: RequestEvent): Part[] {
  const { errorCode, receiveMs, prepareMs, queueMs, computeMs, startedMs, durationMs } = event
  const failed = errorCode !== undefined
  const ran = !failed || computeMs > 0
  if (!ran && receiveMs <= 0) return []
  const endMs = startedMs + durationMs
  const parts: Part[] = []
  let at = Math.min(endMs, startedMs + receiveMs)
  const add = (name: Part['name'], partEndMs: number, partFailed: boolean): void => {
    const end = Math.min(endMs, Math.max(at, partEndMs))
    parts.push({ name, startMs: at, endMs: end, failed: partFailed })
    at = end
  }
  const prepared = ran || prepareMs > 0
  add('preprocess', prepared ? at + prepareMs : endMs, !prepared)
  if (ran) {
    add('queue', at + queueMs, false)
    add('model_forward', at + computeMs, false)
    add('postprocess', endMs, failed)
  } else if (prepared && ENDED_IN_QUEUE.has(errorCode)) add('queue', endMs, true)
  return parts
}
