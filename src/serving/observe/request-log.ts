import { roundMs } from '../../core/units.ts'
import type { Logger } from '../../core/log.ts'
import type { Observer, RequestEvent } from './events.ts'

export interface RequestLogOptions {
  /** Whether every request is logged, in one line. */
  readonly access: boolean
  /** Requests slower than this are logged. Milliseconds. */
  readonly slowMs: number
}

/** Limit of the refusals that are logged in a second. */
const REFUSALS_TOLD_PER_SECOND = 5

/** Logs server errors, slow requests and, when asked, every request. */
export function requestLog(log: Logger, options: RequestLogOptions, epochMs: () => number = Date.now): Observer {
  let second = 0
  let told = 0
  let untold = 0
  /** Whether to log a refusal. An overload must not flood the log: refusals beyond the limit are counted, not logged. */
  const tellRefusal = (): boolean => {
    const now = Math.floor(epochMs() / 1000)
    if (now !== second) {
      if (untold > 0) log.warn({ count: untold }, 'more refusals, not told one by one')
      second = now
      told = 0
      untold = 0
    }
    if (++told <= REFUSALS_TOLD_PER_SECOND) return true
    untold++
    return false
  }
  return {
    request(event: RequestEvent) {
      const serverError = event.status >= 500
      const slow = event.durationMs > options.slowMs
      if (!serverError && !slow && !options.access) return
      const fields = {
        requestId: event.requestId,
        protocol: event.protocol,
        ...event.subject,
        segment: event.decision?.segment,
        assignment: event.decision?.assignment,
        status: event.status,
        code: event.errorCode,
        durationMs: roundMs(event.durationMs),
        queueMs: roundMs(event.queueMs),
        computeMs: roundMs(event.computeMs),
        rows: event.rows,
        traceparent: event.traceparent,
        caller: event.caller,
      }
      // Refusing excess requests is intended behaviour: a warning, not an error.
      if (event.status === 503) {
        if (options.access || tellRefusal()) log.warn(fields, event.errorMessage ?? 'refused')
      } else if (serverError) log.error(fields, event.errorMessage ?? 'failed')
      else if (slow) log.warn(fields, 'slow request')
      else log.info(fields, 'request')
    },
  }
}
