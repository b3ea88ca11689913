import type { SlipwayError } from '../../core/errors.ts'

/** An error on the wire. */
export interface ErrorAnswer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Record<string, string>
}

/** Form of the errors of a dialect, which also chooses their status. */
export type ErrorForm = (error: SlipwayError, requestId: string) => ErrorAnswer

/** The error of Slipway's own dialects: a message, and fields for programs. */
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
