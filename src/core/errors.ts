/**
 * Core holds the parts that every room needs and that need no room: errors, the clock, ids, units, digests, fail points. This file is the
 * one table of errors.
 */
/** Form of one kind of error in each protocol. `exit` is the exit code of a command that ends with it. */
export interface ErrorKind {
  readonly http: number
  readonly grpc: string
  /** Whether the same request may succeed later without being changed. */
  readonly retry: boolean
  readonly exit: number
}

/**
 * Every error that Slipway raises on purpose. Codes never change: programs decide by code, people read the message. The meaning and cure of
 * each are in ./error-words.ts, which programs need not carry.
 * Exit codes: 1 failed, 2 usage or configuration, 3 a check said no, 4 not found, 5 not allowed, 6 conflict, 7 unreachable, 10 a model that
 * cannot be served, 124 timed out, 130 cancelled.
 */
export const ERRORS = {
  SLW_BAD_REQUEST: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false, exit: 1 },
  SLW_INPUT_INVALID: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false, exit: 1 },
  SLW_LIMIT_EXCEEDED: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false, exit: 1 },
  SLW_RUN_REJECTED: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false, exit: 1 },
  SLW_BODY_TOO_LARGE: { http: 413, grpc: 'RESOURCE_EXHAUSTED', retry: false, exit: 1 },
  SLW_OUTPUT_TOO_LARGE: { http: 413, grpc: 'RESOURCE_EXHAUSTED', retry: false, exit: 1 },
  SLW_NOT_ACCEPTABLE: { http: 406, grpc: 'INVALID_ARGUMENT', retry: false, exit: 1 },
  SLW_UNSUPPORTED_MEDIA_TYPE: { http: 415, grpc: 'INVALID_ARGUMENT', retry: false, exit: 1 },
  SLW_ROUTE_NOT_FOUND: { http: 404, grpc: 'UNIMPLEMENTED', retry: false, exit: 4 },
  SLW_METHOD_NOT_ALLOWED: { http: 405, grpc: 'UNIMPLEMENTED', retry: false, exit: 1 },
  SLW_UNAUTHENTICATED: { http: 401, grpc: 'UNAUTHENTICATED', retry: false, exit: 5 },
  SLW_FORBIDDEN: { http: 403, grpc: 'PERMISSION_DENIED', retry: false, exit: 5 },
  SLW_HOST_NOT_ALLOWED: { http: 403, grpc: 'PERMISSION_DENIED', retry: false, exit: 1 },
  SLW_MODEL_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false, exit: 4 },
  SLW_MODEL_NOT_READY: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 1 },
  SLW_QUEUE_FULL: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 1 },
  SLW_SECRET_UNAVAILABLE: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 2 },
  SLW_RATE_LIMITED: { http: 429, grpc: 'RESOURCE_EXHAUSTED', retry: true, exit: 1 },
  SLW_DRAINING: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 1 },
  SLW_INSTANCE_FAILED: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 1 },
  SLW_RUN_TIMEOUT: { http: 504, grpc: 'DEADLINE_EXCEEDED', retry: true, exit: 124 },
  SLW_DEADLINE_EXCEEDED: { http: 504, grpc: 'DEADLINE_EXCEEDED', retry: true, exit: 124 },
  SLW_REQUEST_TIMEOUT: { http: 408, grpc: 'DEADLINE_EXCEEDED', retry: true, exit: 124 },
  SLW_CANCELLED: { http: 499, grpc: 'CANCELLED', retry: true, exit: 130 },
  SLW_CLOSED: { http: 503, grpc: 'UNAVAILABLE', retry: false, exit: 1 },
  SLW_RUN_FAILED: { http: 500, grpc: 'INTERNAL', retry: false, exit: 1 },
  SLW_INTERNAL: { http: 500, grpc: 'INTERNAL', retry: false, exit: 1 },
  SLW_NOT_IMPLEMENTED: { http: 501, grpc: 'UNIMPLEMENTED', retry: false, exit: 1 },
  SLW_MODEL_INVALID: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 10 },
  SLW_MODEL_UNSAFE: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 10 },
  SLW_MODEL_UNSUPPORTED: { http: 422, grpc: 'UNIMPLEMENTED', retry: false, exit: 10 },
  SLW_PACKAGE_INVALID: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 10 },
  SLW_GOLDEN_FAILED: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 10 },
  SLW_MEMORY_EXCEEDED: { http: 507, grpc: 'RESOURCE_EXHAUSTED', retry: false, exit: 10 },
  SLW_PATH_REFUSED: { http: 403, grpc: 'PERMISSION_DENIED', retry: false, exit: 2 },
  SLW_CONFLICT: { http: 409, grpc: 'FAILED_PRECONDITION', retry: false, exit: 6 },
  SLW_LATENCY_GOAL: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 1 },
  SLW_LOAD_FAILED: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 10 },
  SLW_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false, exit: 4 },
  SLW_ALREADY_EXISTS: { http: 409, grpc: 'ALREADY_EXISTS', retry: false, exit: 6 },
  SLW_PRECONDITION_FAILED: { http: 412, grpc: 'FAILED_PRECONDITION', retry: false, exit: 6 },
  SLW_CONTRACT_BREAKING: { http: 409, grpc: 'FAILED_PRECONDITION', retry: false, exit: 3 },
  SLW_POLICY_REFUSED: { http: 403, grpc: 'PERMISSION_DENIED', retry: false, exit: 3 },
  SLW_SIGNATURE_INVALID: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 3 },
  SLW_IDEMPOTENCY_CONFLICT: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 6 },
  SLW_FEED_EXPIRED: { http: 410, grpc: 'OUT_OF_RANGE', retry: false, exit: 1 },
  SLW_RANGE_INVALID: { http: 416, grpc: 'OUT_OF_RANGE', retry: false, exit: 1 },
  SLW_DATABASE_UNAVAILABLE: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 7 },
  SLW_DATABASE_VERSION: { http: 500, grpc: 'FAILED_PRECONDITION', retry: false, exit: 2 },
  SLW_DATABASE_IN_USE: { http: 409, grpc: 'ABORTED', retry: false, exit: 6 },
  SLW_STORE_UNAVAILABLE: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 7 },
  SLW_STORE_CORRUPT: { http: 500, grpc: 'DATA_LOSS', retry: false, exit: 1 },
  SLW_LEASE_LOST: { http: 409, grpc: 'ABORTED', retry: false, exit: 6 },
  SLW_CONFIG_INVALID: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false, exit: 2 },
  SLW_USAGE: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false, exit: 2 },
  SLW_PATH_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false, exit: 4 },
  SLW_PORT_IN_USE: { http: 500, grpc: 'INTERNAL', retry: false, exit: 6 },
  SLW_HOST_REFUSED: { http: 500, grpc: 'INTERNAL', retry: false, exit: 2 },
  SLW_DEPENDENCY_MISSING: { http: 500, grpc: 'FAILED_PRECONDITION', retry: false, exit: 2 },
  SLW_UNREACHABLE: { http: 502, grpc: 'UNAVAILABLE', retry: true, exit: 7 },
  SLW_CIRCUIT_OPEN: { http: 503, grpc: 'UNAVAILABLE', retry: true, exit: 7 },
  SLW_ANSWER_INVALID: { http: 502, grpc: 'INTERNAL', retry: false, exit: 7 },
  SLW_CLUSTER_FORBIDDEN: { http: 403, grpc: 'PERMISSION_DENIED', retry: false, exit: 5 },
  SLW_CLUSTER_REFUSED: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false, exit: 2 },
  SLW_KIND_MISSING: { http: 404, grpc: 'FAILED_PRECONDITION', retry: false, exit: 4 },
  SLW_FIELD_CONFLICT: { http: 409, grpc: 'FAILED_PRECONDITION', retry: false, exit: 6 },
  SLW_NOT_ROLLED_OUT: { http: 504, grpc: 'DEADLINE_EXCEEDED', retry: false, exit: 3 },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

/** One fault in data, as a value: its path (`inputs[3].plan`) and what is wrong. */
export interface Issue {
  readonly path: string
  readonly message: string
}

export interface ErrorDetails {
  /** Pause before a client should try again, in milliseconds. */
  readonly retryAfterMs?: number
  readonly issues?: readonly Issue[]
  /** Exit code of a command that ends with the error. Default: that of its kind. */
  readonly exitCode?: number | undefined
  readonly cause?: unknown
}

const BRAND = 'SlipwayError'

/** An error of the {@link ERRORS} table. Recognise it with {@link isSlipwayError}, which also works across threads. */
export class SlipwayError extends Error {
  override readonly name: string = BRAND
  readonly code: ErrorCode
  readonly retryAfterMs: number | undefined
  readonly issues: readonly Issue[] | undefined
  readonly exitCode: number

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    // Refusals come by the thousand under overload, and their origin is known: the stack would be most of their cost.
    const { stackTraceLimit } = Error
    if (ERRORS[code].http === 503) Error.stackTraceLimit = 0
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.code = code
    this.retryAfterMs = details.retryAfterMs
    this.issues = details.issues
    this.exitCode = details.exitCode ?? ERRORS[code].exit
  }

  get kind(): ErrorKind {
    return ERRORS[this.code]
  }
}

export function isSlipwayError(value: unknown): value is SlipwayError {
  return value instanceof Error && value.name === BRAND && 'code' in value && typeof value.code === 'string' && value.code in ERRORS
}

/** Turns a thrown value into a SlipwayError: foreign errors get the code `fallback` and stay as the cause. */
export function toSlipwayError(error: unknown, fallback: ErrorCode = 'SLW_INTERNAL'): SlipwayError {
  if (isSlipwayError(error)) return error
  return new SlipwayError(fallback, messageOf(error), { cause: error })
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Error for invalid data: one message from a list of issues, the first few spelled out. */
export function inputInvalid(issues: readonly Issue[], code: ErrorCode = 'SLW_INPUT_INVALID'): SlipwayError {
  const shown = issues.slice(0, 5).map((issue) => (issue.path === '' ? issue.message : `${issue.path}: ${issue.message}`))
  const rest = issues.length - shown.length
  return new SlipwayError(code, shown.join('; ') + (rest > 0 ? `; and ${rest} more` : ''), { issues })
}
