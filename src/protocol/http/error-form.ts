import type { SlipwayError } from '../../core/errors.ts'

/** How an error looks on the wire. */
export interface ErrorAnswer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Record<string, string>
}

/** Words an error, whatever its dialect makes of its status. */
export type ErrorForm = (error: SlipwayError, requestId: string) => ErrorAnswer

/** The error of our own dialects: what went wrong, and what programs need. */
export const ownError: ErrorForm = (error, requestId) => ({
  status: error.kind.http,
  type: 'application/json',
  body: JSON.stringify({
    error: error.message,
    code: error.code,
    retryable: error.kind.retry,
    issues: error.issues,
    request_id: requestId,
  }),
})
