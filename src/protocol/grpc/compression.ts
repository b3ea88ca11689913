import { promisify } from 'node:util'
import { deflate, gunzip, gzip, inflate } from 'node:zlib'
import { SlipwayError } from '../../core/errors.ts'
import { PREFIX_BYTES, sealMessage } from './message-reader.ts'

/** What messages may be compressed with, as `grpc-encoding` names it; `deflate` is zlib (RFC 1950). */
export type Encoding = 'gzip' | 'deflate'
export const ACCEPTED = 'identity,deflate,gzip'
/** Memory is taken in steps of this size while a message is decompressed. */
const STEP_BYTES = 64 * 1024
/** A smaller answer is not worth it. */
const WORTH_BYTES = 1024

/** @returns undefined for plain messages. @throws SLW_NOT_IMPLEMENTED for what is not read */
export function encodingOf(header: string | undefined): Encoding | undefined {
  if (header === undefined || header === 'identity') return undefined
  if (header === 'gzip' || header === 'deflate') return header
  throw new SlipwayError('SLW_NOT_IMPLEMENTED', `grpc-encoding "${header}" is not read; send messages as ${ACCEPTED.replaceAll(',', ', ')}`)
}

/**
 * Decompresses a message, beside the main thread. It stops as soon as more than `limit` bytes come out.
 * @param done called once; the error is SLW_BODY_TOO_LARGE or SLW_BAD_REQUEST
 */
export function decompressMessage(
  message: Buffer,
  { encoding, limit }: { readonly encoding: Encoding | undefined; readonly limit: number },
  done: (error: SlipwayError | undefined, message: Buffer) => void,
): void {
  if (encoding === undefined) {
    done(new SlipwayError('SLW_BAD_REQUEST', 'a message is compressed, and there is no grpc-encoding that says how'), message)
    return
  }
  const open = encoding === 'gzip' ? gunzip : inflate
  open(message, { maxOutputLength: limit, chunkSize: STEP_BYTES }, (error, result) => {
    if (error === null) done(undefined, result)
    else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      done(
        new SlipwayError('SLW_BODY_TOO_LARGE', `decompressed, the message has more than ${limit} bytes, which is limits.bodyBytes`),
        message,
      )
    else done(new SlipwayError('SLW_BAD_REQUEST', `a message is not valid ${encoding}: ${error.message}`), message)
  })
}

/** Whether an answer is compressed: where the question was, and it is worth it. */
export function isWorthCompressing(sealed: Buffer): boolean {
  return sealed.length - PREFIX_BYTES >= WORTH_BYTES
}

/** @param sealed a message with its prefix. @returns the same, compressed */
export async function compressMessage(sealed: Buffer, encoding: Encoding): Promise<Buffer> {
  const bytes = await promisify(encoding === 'gzip' ? gzip : deflate)(sealed.subarray(PREFIX_BYTES))
  return sealMessage(Buffer.concat([Buffer.alloc(PREFIX_BYTES), bytes]), true)
}
