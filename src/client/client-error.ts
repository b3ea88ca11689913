import type { ErrorCode, Issue } from '../core/errors.ts'

export interface ClientErrorDetails {
  /** HTTP status of the answer. Default: there was no answer. */
  readonly status?: number | undefined
  /** Whether the same request may succeed later. Default: no. */
  readonly retryable?: boolean | undefined
  /** Id of the request, which the log of the server has too. */
  readonly requestId?: string | undefined
  /** Pause that the server asked for, in milliseconds. */
  readonly retryAfterMs?: number | undefined
  readonly issues?: readonly Issue[] | undefined
  readonly cause?: unknown
}

/** What every call of a client fails with. Programs decide by `code` (docs/reference/errors.md), people read the message. */
export class SlipwayClientError extends Error {
  override readonly name: string = 'SlipwayClientError'
  /** A server that is newer than the client may send codes that the client does not know. */
  readonly code: ErrorCode | (string & {})
  readonly status: number | undefined
  readonly retryable: boolean
  readonly requestId: string | undefined
  readonly retryAfterMs: number | undefined
  /** Faults of the request, each with its place: `inputs[3].plan`. */
  readonly issues: readonly Issue[]
  /** Requests that were sent for the call, hedges included; 0 where the breaker let none through. */
  attempts = 0

  constructor(code: SlipwayClientError['code'], message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.status = details.status
    this.retryable = details.retryable ?? false
    this.requestId = details.requestId
    this.retryAfterMs = details.retryAfterMs
    this.issues = details.issues ?? []
  }
}

/**
 * Whether an error says that the service was not there for the caller, rather than that the request was wrong: it counts against the
 * breaker, and a fallback takes its place.
 */
export function isOutage({ code, status }: SlipwayClientError): boolean {
  if (code === 'SLW_CANCELLED' || code === 'SLW_CONFIG_INVALID') return false
  if (code === 'SLW_ANSWER_INVALID') return true
  return status === undefined || status >= 500 || status === 408 || status === 429
}
