import { messageOf, SlipwayError } from '../../core/errors.ts'
import type { ErrorCode } from '../../core/errors.ts'

/** Error of the SDK: its name is the code of S3, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
interface ServiceError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  NoSuchKey: 'SLW_NOT_FOUND',
  NotFound: 'SLW_NOT_FOUND',
  NoSuchUpload: 'SLW_NOT_FOUND',
  InvalidRange: 'SLW_RANGE_INVALID',
  InvalidPart: 'SLW_INPUT_INVALID',
  InvalidPartOrder: 'SLW_INPUT_INVALID',
  EntityTooSmall: 'SLW_INPUT_INVALID',
  EntityTooLarge: 'SLW_INPUT_INVALID',
  AbortError: 'SLW_CANCELLED',
}

/** @param what the operation and its object: `get s3://models/0192` */
export function s3Error(error: unknown, what: string): SlipwayError {
  const { name = '', $metadata } = error as Partial<ServiceError>
  const status = $metadata?.httpStatusCode
  const words = [name, status === undefined ? '' : `(${status})`, messageOf(error)].filter((word) => word !== '' && word !== 'Error')
  return new SlipwayError(CODES[name] ?? 'SLW_STORE_UNAVAILABLE', `the bucket could not ${what}: ${words.join(' ')}`, { cause: error })
}

/** Whether a retry may succeed: the server or the connection failed, and the request was not refused. */
export function mayPass(error: unknown): boolean {
  const status = (error as Partial<ServiceError>).$metadata?.httpStatusCode
  return (error as Error).name !== 'AbortError' && (status === undefined || status >= 500 || status === 429 || status < 400)
}
