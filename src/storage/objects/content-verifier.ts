import { createHash } from 'node:crypto'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { resolveRange } from './byte-range.ts'
import { CHUNK_BYTES, chunkCount, contentId } from '../../core/content-digest.ts'
import type { ContentDigest } from '../../core/content-digest.ts'
import type { ByteRange, ObjectStore } from './object-store.ts'

/** The fields of a content that are needed to check it. */
export type KnownContent = Pick<ContentDigest, 'id' | 'size' | 'chunks'>

/** Whole chunks of a content, and their range of bytes. */
export interface ChunkRange extends Required<ByteRange> {
  readonly firstChunk: number
  readonly chunkCount: number
}

/**
 * The fewest whole chunks that contain a range.
 * @throws SLW_RANGE_INVALID where the content has not all of its bytes
 */
export function chunksAround(range: ByteRange | undefined, size: number, what = 'the content'): ChunkRange {
  const { offset, length } = resolveRange(range, size, what)
  const firstChunk = Math.floor(offset / CHUNK_BYTES)
  const count = length === 0 ? 0 : Math.ceil((offset + length) / CHUNK_BYTES) - firstChunk
  const start = firstChunk * CHUNK_BYTES
  return { firstChunk, chunkCount: count, offset: start, length: Math.min(size, start + count * CHUNK_BYTES) - start }
}

/** Checks the bytes of a store against the list of chunk digests. */
export class ContentVerifier {
  readonly #content: KnownContent
  readonly #what: string

  /**
   * @param what names the object in messages
   * @throws SLW_STORE_CORRUPT where the list does not belong to the content id
   */
  constructor(content: KnownContent, what: string) {
    if (content.chunks.length !== chunkCount(content.size) || contentId(content.size, content.chunks) !== content.id)
      throw new SlipwayError('SLW_STORE_CORRUPT', `the list of chunk digests of ${what} is not the one of content ${content.id}`)
    this.#content = content
    this.#what = what
  }

  /**
   * Yields the bytes of a stream that should be these chunks (default: all), chunk by chunk in the pieces that arrived, each chunk after
   * it was checked. Holds one chunk.
   * @throws SLW_STORE_CORRUPT naming the chunk, before any of its bytes are yielded
   */
  async *verified(
    stream: AsyncIterable<Uint8Array>,
    firstChunk = 0,
    count: number = this.#content.chunks.length,
  ): AsyncGenerator<readonly Uint8Array[]> {
    let index = firstChunk
    let pieces: Uint8Array[] = []
    let filled = 0
    let hash = createHash('sha256')
    for await (const piece of stream) {
      let rest = piece
      while (rest.length > 0) {
        if (index === firstChunk + count) throw this.#corrupt(`goes on behind the last byte of chunk ${index - 1}`)
        const size = this.#bytesOf(index)
        const taken = rest.subarray(0, size - filled)
        pieces.push(taken)
        hash.update(taken)
        filled += taken.length
        rest = rest.subarray(taken.length)
        if (filled < size) continue
        if (hash.digest('hex') !== this.#content.chunks[index]) throw this.#corrupt(`has other bytes than were put there in chunk ${index}`)
        yield pieces
        index++
        pieces = []
        filled = 0
        hash = createHash('sha256')
      }
    }
    if (index < firstChunk + count) throw this.#corrupt(`ends after ${filled} bytes of chunk ${index}`)
  }

  #bytesOf(index: number): number {
    return Math.min(CHUNK_BYTES, this.#content.size - index * CHUNK_BYTES)
  }

  #corrupt(finding: string): SlipwayError {
    return new SlipwayError(
      'SLW_STORE_CORRUPT',
      `${this.#what} ${finding} (of ${this.#content.chunks.length}, content ${this.#content.id})`,
    )
  }
}

/** The same items, fetched ahead: the next one is made while one is used. */
async function* ahead<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  const begin = (): Promise<IteratorResult<T>> => {
    const next = items.next()
    // A failure is thrown where the item is awaited.
    next.catch(() => {})
    return next
  }
  try {
    for (let next = begin(); ;) {
      const { done, value } = await next
      if (done === true) return
      next = begin()
      yield value
    }
  } finally {
    await items.return(undefined)
  }
}

/**
 * Yields exactly the bytes asked for, each after it was checked. The range read from the store is rounded to whole chunks.
 * @throws SLW_RANGE_INVALID, SLW_NOT_FOUND, SLW_STORE_CORRUPT, SLW_STORE_UNAVAILABLE
 */
export async function* readVerified(
  store: ObjectStore,
  key: string,
  content: KnownContent,
  { range, signal }: { readonly range?: ByteRange | undefined; readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Uint8Array> {
  const what = `object ${key}`
  const verifier = new ContentVerifier(content, what)
  const asked = resolveRange(range, content.size, what)
  const around = chunksAround(asked, content.size, what)
  if (around.chunkCount === 0 && content.size > 0) return
  const stream = await store.get(key, range === undefined ? undefined : around, signal).catch((error: unknown) => {
    // The content has these bytes, so the object should.
    if (!isSlipwayError(error) || error.code !== 'SLW_RANGE_INVALID') throw error
    throw new SlipwayError('SLW_STORE_CORRUPT', `${what} is too short for content ${content.id}: ${error.message}`, { cause: error })
  })
  let skip = asked.offset - around.offset
  let rest = asked.length
  for await (const pieces of ahead(verifier.verified(stream, around.firstChunk, around.chunkCount)))
    for (const piece of pieces) {
      const wanted = piece.subarray(skip, skip + rest)
      skip -= Math.min(skip, piece.length)
      rest -= wanted.length
      if (wanted.length > 0) yield wanted
    }
}
