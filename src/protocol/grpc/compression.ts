import { SlipwayError } from '../../core/errors.ts'
import { compress } from '../http/content-coding.ts'
import { PREFIX_BYTES, sealMessage } from './message-reader.ts'
import type { Coding } from '../http/content-coding.ts'

/** What messages may be compressed with, as `grpc-accept-encoding` says it. */
export const ACCEPTED = 'identity,deflate,gzip'
/** A smaller answer is not worth it. */
const WORTH_BYTES = 1024

/** The coding of a `grpc-encoding`; undefined for plain messages. @throws SLW_NOT_IMPLEMENTED for what is not read */
export function messageCoding(header: string | undefined): Coding | undefined {
  if (header === undefined || header === 'identity') return undefined
  if (header === 'gzip' || header === 'deflate') return header
  throw new SlipwayError('SLW_NOT_IMPLEMENTED', `grpc-encoding "${header}" is not read; send messages as ${ACCEPTED.replaceAll(',', ', ')}`)
}

/** Whether an answer is compressed, where the question was. */
export function isWorthCompressing(sealed: Buffer): boolean {
  return sealed.length - PREFIX_BYTES >= WORTH_BYTES
}

/** @param sealed a message with its prefix. @returns the same, compressed */
export async function compressMessage(sealed: Buffer, coding: Coding): Promise<Buffer> {
  const bytes = await compress(sealed.subarray(PREFIX_BYTES), coding)
  return sealMessage(Buffer.concat([Buffer.alloc(PREFIX_BYTES), bytes]), true)
}
