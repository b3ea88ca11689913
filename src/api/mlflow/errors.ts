import type { ErrorCode, SlipwayError } from '../../core/errors.ts'

interface WireError {
  readonly status: number
  readonly body: { readonly error_code: string; readonly message: string }
}

/**
 * MLflow's codes for our errors. Its client repeats a request for minutes after 429, 500, 502, 503 and 504: errors that a retry cannot
 * mend get none of these.
 */
const WORDS: Partial<Readonly<Record<ErrorCode, readonly [status: number, code: string]>>> = {
  SLW_NOT_FOUND: [404, 'RESOURCE_DOES_NOT_EXIST'],
  SLW_ALREADY_EXISTS: [400, 'RESOURCE_ALREADY_EXISTS'],
  SLW_INPUT_INVALID: [400, 'INVALID_PARAMETER_VALUE'],
  SLW_BAD_REQUEST: [400, 'BAD_REQUEST'],
  SLW_LIMIT_EXCEEDED: [400, 'INVALID_PARAMETER_VALUE'],
  SLW_BODY_TOO_LARGE: [413, 'INVALID_PARAMETER_VALUE'],
  SLW_UNSUPPORTED_MEDIA_TYPE: [400, 'BAD_REQUEST'],
  SLW_RANGE_INVALID: [416, 'INVALID_PARAMETER_VALUE'],
  SLW_CONFLICT: [409, 'RESOURCE_CONFLICT'],
  // Clients show the message of a refusal, and do not try again.
  SLW_POLICY_REFUSED: [403, 'PERMISSION_DENIED'],
  SLW_CONTRACT_BREAKING: [403, 'PERMISSION_DENIED'],
  SLW_PRECONDITION_FAILED: [409, 'RESOURCE_CONFLICT'],
  SLW_LEASE_LOST: [409, 'ABORTED'],
  SLW_FORBIDDEN: [403, 'PERMISSION_DENIED'],
  SLW_HOST_NOT_ALLOWED: [403, 'PERMISSION_DENIED'],
  SLW_UNAUTHENTICATED: [401, 'UNAUTHENTICATED'],
  SLW_RATE_LIMITED: [429, 'REQUEST_LIMIT_EXCEEDED'],
  SLW_SECRET_UNAVAILABLE: [503, 'TEMPORARILY_UNAVAILABLE'],
  SLW_ROUTE_NOT_FOUND: [404, 'ENDPOINT_NOT_FOUND'],
  SLW_METHOD_NOT_ALLOWED: [405, 'ENDPOINT_NOT_FOUND'],
  SLW_NOT_IMPLEMENTED: [501, 'NOT_IMPLEMENTED'],
  SLW_DATABASE_UNAVAILABLE: [503, 'TEMPORARILY_UNAVAILABLE'],
  SLW_STORE_UNAVAILABLE: [503, 'TEMPORARILY_UNAVAILABLE'],
  SLW_STORE_CORRUPT: [500, 'DATA_LOSS'],
}

export function toWireError(error: SlipwayError): WireError {
  const [status, code] = WORDS[error.code] ?? [500, 'INTERNAL_ERROR']
  return { status, body: { error_code: code, message: error.message } }
}
