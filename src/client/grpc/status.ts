import { SlipwayClientError } from '../client-error.ts'

/** Codes of errors that came without one, and their status as in HTTP, by the status of gRPC. */
const STATUSES: Readonly<Record<number, readonly [code: SlipwayClientError['code'], status: number]>> = {
  1: ['SLW_INTERNAL', 499],
  3: ['SLW_BAD_REQUEST', 400],
  4: ['SLW_DEADLINE_EXCEEDED', 504],
  5: ['SLW_NOT_FOUND', 404],
  6: ['SLW_ALREADY_EXISTS', 409],
  7: ['SLW_FORBIDDEN', 403],
  8: ['SLW_RATE_LIMITED', 429],
  9: ['SLW_CONFLICT', 409],
  10: ['SLW_CONFLICT', 409],
  11: ['SLW_BAD_REQUEST', 400],
  12: ['SLW_NOT_IMPLEMENTED', 501],
  13: ['SLW_INTERNAL', 500],
  14: ['SLW_UNREACHABLE', 503],
  15: ['SLW_INTERNAL', 500],
  16: ['SLW_UNAUTHENTICATED', 401],
}

const UNAVAILABLE = 14
const RESOURCE_EXHAUSTED = 8

/** The error that an answer of gRPC says: its code is in `slipway-code`, when to come again in `grpc-retry-pushback-ms`. */
export function refusalOf(status: number, headers: Headers, method: string): SlipwayClientError {
  const [code, http] = STATUSES[status] ?? ['SLW_INTERNAL', 500]
  const pushback = headers.get('grpc-retry-pushback-ms')
  const retryAfterMs = pushback !== null && /^\d+$/.test(pushback) ? Number(pushback) : undefined
  const own = headers.get('slipway-code') ?? code
  // Below 0, or no number: not again (gRPC, proposal A6).
  const again = pushback === null || retryAfterMs !== undefined
  const retryable = again && (status === UNAVAILABLE || (status === RESOURCE_EXHAUSTED && retryAfterMs !== undefined))
  return new SlipwayClientError(own, messageOf(headers.get('grpc-message')) ?? `${method} ended with the status ${status} of gRPC`, {
    status: own === 'SLW_BODY_TOO_LARGE' || own === 'SLW_OUTPUT_TOO_LARGE' ? 413 : http,
    retryable: retryable && own !== 'SLW_CLOSED',
    retryAfterMs,
    requestId: headers.get('x-request-id') ?? undefined,
  })
}

/** UTF-8, percent-encoded where it is not printable ASCII. */
function messageOf(text: string | null): string | undefined {
  if (text === null || text === '') return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
