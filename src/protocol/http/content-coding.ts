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

/** Bodies that are decompressed at a time: Node has four threads for it, and a few kilobytes become `limits.bodyBytes`. */
const AT_ONCE_MAX = 8
let running = 0
const waiting: (() => void)[] = []

/**
 * Decompresses a body, beside the main thread. It stops as soon as more than `limit` bytes come out: a few kilobytes can
 * hold gigabytes.
 * @param options `said`: the header that named the coding
 * @param done called once; the error is SLW_BODY_TOO_LARGE or SLW_BAD_REQUEST
 */
export function decompress(
  body: Buffer,
  { coding, limit, said = 'Content-Encoding' }: { readonly coding: Coding; readonly limit: number; readonly said?: string },
  done: (error: SlipwayError | undefined, body: Buffer) => void,
): void {
  const read = coding === 'gzip' ? gunzip : inflate
  if (running === AT_ONCE_MAX) {
    waiting.push(() => decompress(body, { coding, limit, said }, done))
    return
  }
  running++
  read(body, { maxOutputLength: limit, chunkSize: STEP_BYTES }, (error, result) => {
    running--
    waiting.shift()?.()
    if (error === null) done(undefined, result)
    else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      done(new SlipwayError('SLW_BODY_TOO_LARGE', `decompressed, the body has more than ${limit} bytes, which is limits.bodyBytes`), body)
    else done(new SlipwayError('SLW_BAD_REQUEST', `${said} is ${coding}, and the body is not valid ${coding}: ${error.message}`), body)
  })
}

/** Compresses an answer, beside the main thread, and rather fast than well. */
export function compress(body: string | Buffer, coding: Coding): Promise<Buffer> {
  const write = coding === 'gzip' ? gzip : deflate
  return new Promise((resolve, reject) => {
    write(body, { level: constants.Z_BEST_SPEED }, (error, result) => (error === null ? resolve(result) : reject(error)))
  })
}
