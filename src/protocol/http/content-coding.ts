/** Codings of bodies (RFC 9110, section 8.4.1): gzip, and deflate, which is the zlib format (RFC 1950). */
import { constants, deflate, gunzip, gzip, inflate } from 'node:zlib'
import { SlipwayError } from '../../core/errors.ts'

export type Coding = 'gzip' | 'deflate'

/** Codings as a client is told of them. */
export const CODINGS = 'gzip, deflate'

/** Memory is taken in steps of this size while a body is decompressed. */
const STEP_BYTES = 64 * 1024

/** The coding of a Content-Encoding; undefined where it is none that is read. `gzip` and `x-gzip` mean the same. */
export function codingOf(encoding: string): Coding | 'identity' | undefined {
  const name = encoding.trim().toLowerCase()
  if (name === 'gzip' || name === 'x-gzip') return 'gzip'
  return name === 'deflate' || name === 'identity' ? name : undefined
}

/**
 * Decompresses a body, beside the main thread. It stops as soon as more than `limit` bytes come out: a few kilobytes can
 * hold gigabytes.
 * @param done called once; the error is SLW_BODY_TOO_LARGE or SLW_BAD_REQUEST
 */
export function decompress(
  body: Buffer,
  { coding, limit }: { readonly coding: Coding; readonly limit: number },
  done: (error: SlipwayError | undefined, body: Buffer) => void,
): void {
  const read = coding === 'gzip' ? gunzip : inflate
  read(body, { maxOutputLength: limit, chunkSize: STEP_BYTES }, (error, result) => {
    if (error === null) done(undefined, result)
    else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      done(new SlipwayError('SLW_BODY_TOO_LARGE', `decompressed, the body has more than ${limit} bytes, which is limits.bodyBytes`), body)
    else
      done(
        new SlipwayError('SLW_BAD_REQUEST', `Content-Encoding is ${coding}, and the body is not valid ${coding}: ${error.message}`),
        body,
      )
  })
}

/** Compresses an answer, beside the main thread, and rather fast than well. */
export function compress(body: string | Buffer, coding: Coding): Promise<Buffer> {
  const write = coding === 'gzip' ? gzip : deflate
  return new Promise((resolve, reject) => {
    write(body, { level: constants.Z_BEST_SPEED }, (error, result) => (error === null ? resolve(result) : reject(error)))
  })
}
