import { SlipwayError, toSlipwayError } from '../core/errors.ts'

/** Converts errors of Fastify into errors of Slipway. */
export function fromFastify(error: unknown): SlipwayError {
  const { statusCode, message = '' } = error as { statusCode?: number; message?: string }
  if (statusCode === 413) return new SlipwayError('SLW_BODY_TOO_LARGE', 'the body is larger than this route takes')
  if (statusCode === 415) return new SlipwayError('SLW_UNSUPPORTED_MEDIA_TYPE', 'send JSON, with Content-Type: application/json')
  if (statusCode !== undefined && statusCode < 500) return new SlipwayError('SLW_BAD_REQUEST', message)
  return toSlipwayError(error)
}
