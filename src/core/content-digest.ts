/**
 * Content ids, which name the content of files.
 *
 * A content of `size` bytes is cut into chunks of 8 MiB, of which the last may be shorter; an empty one has none. Each chunk has
 * a SHA-256 digest, written as 64 lower case hex digits. The content id is the SHA-256 digest, written the same way, of
 *
 *     slipway-content-v1\n<size in decimal>\n<digest of chunk 0>\n<digest of chunk 1>\n...<digest of the last chunk>
 *
 * in ASCII, with a newline between the digests and none at the end. So the id covers every byte and their number, and with the
 * list any chunk can be checked by itself: ranges, and parts that arrive in any order.
 */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'

export const CHUNK_BYTES: number = 8 * 1024 * 1024

export interface ContentDigest {
  /** The content id. */
  readonly id: string
  /** Bytes. */
  readonly size: number
  /** SHA-256 of the whole content, as other tools compute it, where that costs nothing: for one chunk at most. */
  readonly sha256: string | undefined
  /** SHA-256 of each chunk. */
  readonly chunks: readonly string[]
}

/** Content id of a size and a list of chunk digests. */
export function contentId(size: number, chunks: readonly string[]): string {
  return createHash('sha256')
    .update(`slipway-content-v1\n${size}\n${chunks.join('\n')}`)
    .digest('hex')
}

/**
 * The digest of a tree of files: SHA-256 over `slipway-tree-v1`, then for each file, in the order of paths, its path and content id, each
 * on a line of its own and the path as JSON.
 */
export function treeDigest(files: readonly { readonly path: string; readonly contentId: string }[]): string {
  const hash = createHash('sha256').update('slipway-tree-v1\n')
  for (const { path, contentId: id } of files.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
    hash.update(`${JSON.stringify(path)}\n${id}\n`)
  return hash.digest('hex')
}

/** Number of chunks of a content. */
export function chunkCount(size: number): number {
  return Math.ceil(size / CHUNK_BYTES)
}

/** Digests a stream as it passes by: every buffer goes through {@link update} in order. */
export class ContentDigester {
  readonly #chunks: string[] = []
  #chunk: Hash = createHash('sha256')
  #chunkBytes = 0
  #size = 0

  update(bytes: Uint8Array): void {
    this.#size += bytes.length
    let rest = bytes
    while (rest.length > 0) {
      const taken = rest.subarray(0, CHUNK_BYTES - this.#chunkBytes)
      this.#chunk.update(taken)
      this.#chunkBytes += taken.length
      if (this.#chunkBytes === CHUNK_BYTES) this.#endChunk()
      rest = rest.subarray(taken.length)
    }
  }

  /** Returns the digest; called once, at the end of the stream. */
  finish(): ContentDigest {
    if (this.#chunkBytes > 0) this.#endChunk()
    return { id: contentId(this.#size, this.#chunks), size: this.#size, sha256: this.#wholeDigest(), chunks: this.#chunks }
  }

  #wholeDigest(): string | undefined {
    if (this.#chunks.length > 1) return undefined
    return this.#chunks[0] ?? createHash('sha256').digest('hex')
  }

  #endChunk(): void {
    this.#chunks.push(this.#chunk.digest('hex'))
    this.#chunk = createHash('sha256')
    this.#chunkBytes = 0
  }
}
