import { isSlipwayError, messageOf, SlipwayError } from '../../core/errors.ts'
import { checkRange, resolveRange } from './byte-range.ts'
import { addressOf, ask, placeOf, wait } from './s3-bucket.ts'
import { cancelled, untilCancelled } from './until-cancelled.ts'
import type { Readable } from 'node:stream'
import type { ByteRange } from './object-store.ts'
import type { S3Bucket } from './s3-bucket.ts'

/** A transfer that has begun: the bytes from `offset` on. */
interface Transfer {
  readonly body: Readable
  readonly offset: number
  /** Bytes that are to come. */
  readonly length: number
  readonly etag: string | undefined
}

/** Gets an object or a part of it. A transfer that breaks off is resumed where it ended. */
export async function getFromS3(
  bucket: S3Bucket,
  key: string,
  range?: ByteRange,
  signal?: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const what = addressOf(bucket, key)
  const { offset, length } = checkRange(range, what)
  try {
    const transfer = length === 0 ? undefined : await begin(bucket, key, { offset, length, signal })
    if (transfer !== undefined) return untilCancelled(readOn(bucket, key, transfer, signal), signal)
  } catch (error) {
    if (!isSlipwayError(error) || error.code !== 'SLW_RANGE_INVALID') throw error
  }
  // S3 has no empty ranges, and does not report the size of the object when it has no such range.
  const { ContentLength } = await ask(`get ${what}`, bucket.client.send(new bucket.sdk.HeadObjectCommand(placeOf(bucket, key))))
  if (resolveRange({ offset, ...(length !== undefined && { length }) }, ContentLength ?? 0, what).length === 0) return nothing()
  throw new SlipwayError('SLW_STORE_UNAVAILABLE', `the bucket has bytes ${offset} on of ${what} and refuses to send them`)
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

interface Wanted {
  readonly offset: number
  readonly length: number | undefined
  readonly signal: AbortSignal | undefined
  /** ETag of the first transfer: the rest must be of the same object. */
  readonly etag?: string | undefined
}

async function begin(bucket: S3Bucket, key: string, { offset, length, signal, etag }: Wanted): Promise<Transfer> {
  const what = addressOf(bucket, key)
  const whole = offset === 0 && length === undefined
  const last = length === undefined ? '' : offset + length - 1
  const command = new bucket.sdk.GetObjectCommand({
    ...placeOf(bucket, key),
    ...(!whole && { Range: `bytes=${offset}-${last}` }),
    ...(etag !== undefined && { IfMatch: etag }),
  })
  const answer = await ask(`get ${what}`, bucket.client.send(command, signal === undefined ? {} : { abortSignal: signal }))
  const body = answer.Body as Readable
  try {
    if (whole) return { body, offset, length: wholeLength(answer.ContentLength, what), etag: answer.ETag }
    const sent = /^bytes (\d+)-(\d+)\//.exec(answer.ContentRange ?? '')
    if (sent === null || Number(sent[1]) !== offset)
      throw new SlipwayError('SLW_STORE_UNAVAILABLE', `the bucket does not send bytes from ${offset} on of ${what}, but other ones`)
    const sentLength = Number(sent[2]) - offset + 1
    // A server sends the part of a range that exists.
    if (length !== undefined && sentLength < length) throw new SlipwayError('SLW_RANGE_INVALID', `${what} ends before byte ${last}`)
    return { body, offset, length: length ?? sentLength, etag: answer.ETag }
  } catch (error) {
    body.destroy()
    throw error
  }
}

function wholeLength(length: number | undefined, what: string): number {
  if (length !== undefined) return length
  throw new SlipwayError(
    'SLW_STORE_UNAVAILABLE',
    `the bucket does not say how long ${what} is, so its end could not be told from a failure`,
  )
}

async function* readOn(bucket: S3Bucket, key: string, first: Transfer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  let { offset, length: rest, body } = first
  for (let failures = 0; ;) {
    try {
      for await (const piece of body as AsyncIterable<Uint8Array>) {
        if (piece.length > rest) throw new Error('more bytes came than were announced')
        offset += piece.length
        rest -= piece.length
        failures = 0
        yield piece
      }
      if (rest > 0) throw new Error(`${rest} bytes less came than were announced`)
    } catch (error) {
      if (signal?.aborted === true) throw cancelled(signal)
      if (rest > 0 && ++failures >= bucket.attempts)
        throw new SlipwayError('SLW_STORE_UNAVAILABLE', `the bucket could not send ${addressOf(bucket, key)}: ${messageOf(error)}`, {
          cause: error,
        })
    } finally {
      body.destroy()
    }
    if (rest === 0) return
    await wait(failures)
    body = (await begin(bucket, key, { offset, length: rest, signal, etag: first.etag })).body
  }
}
