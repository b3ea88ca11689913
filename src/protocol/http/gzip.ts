import { gunzip } from 'node:zlib'
import { SlipwayError } from '../../core/errors.ts'

/** Memory is taken in steps of this size while a body is decompressed. */
const STEP_BYTES = 64 * 1024

/** `gzip` and `x-gzip` mean the same (RFC 9110, section 8.4.1.3). */
export function isGzip(encoding: string): boolean {
  const name = encoding.trim().toLowerCase()
  return name === 'gzip' || name === 'x-gzip'
}

/**
 * Decompresses a body, beside the main thread. It stops as soon as more than `limit` bytes come out: a few kilobytes can
 * hold gigabytes.
 * @param done called once; the error is SLW_BODY_TOO_LARGE or SLW_BAD_REQUEST
 */
export function decompress(body: Buffer, limit: number, done: (error: SlipwayError | undefined, body: Buffer) => void): void {
  gunzip(body, { maxOutputLength: limit, chunkSize: STEP_BYTES }, (error, result) => {
    if (error === null) done(undefined, result)
    else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      done(new SlipwayError('SLW_BODY_TOO_LARGE', `decompressed, the body has more than ${limit} bytes, which is limits.bodyBytes`), body)
    else done(new SlipwayError('SLW_BAD_REQUEST', `Content-Encoding is gzip, and the body is not valid gzip: ${error.message}`), body)
  })
}
