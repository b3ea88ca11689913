import type { Clock } from '../../core/clock.ts'
import type { Tensor } from '../../tensor/tensor.ts'

/** An answer that is kept. Its tensors are shared by all requests that get it, and never changed. */
export interface CachedAnswer {
  readonly outputs: readonly Tensor[]
}

/**
 * Store of answers. The key is compared in full: a digest only finds the entry. A remote store answers with a promise; one
 * in memory at once.
 */
export interface CacheStore {
  get(digest: string, key: Buffer): CachedAnswer | undefined | Promise<CachedAnswer | undefined>
  /** Keeps an answer, or does not: a cache may always forget. `bytes` are those of the answer. */
  set(digest: string, key: Buffer, answer: CachedAnswer, bytes: number): void
  readonly entries: number
  readonly bytes: number
  /** Answers that were removed to make room, or for their age. */
  readonly evictions: number
}

export interface MemoryStoreOptions {
  readonly maxBytes: number
  readonly ttlMs: number
  readonly clock: Clock
}

interface Entry {
  readonly key: Buffer
  readonly answer: CachedAnswer
  readonly bytes: number
  readonly expiresMs: number
}

/** Bytes of an entry beside key and tensors: digest, shapes, objects. */
const ENTRY_BYTES = 512

/** Answers in the memory of this process: bounded by bytes, the least recently used leave first, none older than `ttlMs`. */
export class MemoryStore implements CacheStore {
  readonly #options: MemoryStoreOptions
  /** In the order of use, the least recently used first. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0
  #evictions = 0

  constructor(options: MemoryStoreOptions) {
    this.#options = options
  }

  get entries(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get evictions(): number {
    return this.#evictions
  }

  get(digest: string, key: Buffer): CachedAnswer | undefined {
    const entry = this.#entries.get(digest)
    if (entry === undefined || !entry.key.equals(key)) return undefined
    if (this.#options.clock.monotonicMs() >= entry.expiresMs) {
      this.#evict(digest, entry)
      return undefined
    }
    this.#entries.delete(digest)
    this.#entries.set(digest, entry)
    return entry.answer
  }

  set(digest: string, key: Buffer, answer: CachedAnswer, answerBytes: number): void {
    const { maxBytes, ttlMs, clock } = this.#options
    const bytes = key.length + answerBytes + ENTRY_BYTES
    const before = this.#entries.get(digest)
    if (before !== undefined) this.#remove(digest, before)
    if (bytes > maxBytes) return
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes + bytes <= maxBytes) break
      this.#evict(oldest, entry)
    }
    this.#entries.set(digest, { key, answer, bytes, expiresMs: clock.monotonicMs() + ttlMs })
    this.#bytes += bytes
  }

  #evict(digest: string, entry: Entry): void {
    this.#remove(digest, entry)
    this.#evictions++
  }

  #remove(digest: string, entry: Entry): void {
    this.#entries.delete(digest)
    this.#bytes -= entry.bytes
  }
}
