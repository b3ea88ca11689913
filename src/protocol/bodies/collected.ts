/** Chunks from this size on are put together in memory that a thread can read, as they come: joining them at the end would take long. */
const SHARED_FROM = 256 * 1024

/** The chunks of a body as they come. */
export class Collected {
  readonly #limit: number
  #first: Buffer | undefined
  #rest: Buffer[] | undefined
  #shared: SharedArrayBuffer | undefined
  size = 0

  /** @param limit length that the caller lets it have */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** @throws RangeError where there is no memory for it */
  add(chunk: Buffer): void {
    const at = this.size
    this.size += chunk.length
    if (this.#shared !== undefined) this.#put(chunk, at)
    else if (this.size >= SHARED_FROM && this.#share(chunk)) return
    else if (this.#first === undefined) this.#first = chunk
    else (this.#rest ??= [this.#first]).push(chunk)
  }

  /** @returns whether there was memory for that; otherwise the chunks are joined at the end */
  #share(chunk: Buffer): boolean {
    const most = Math.max(this.#limit, this.size)
    try {
      // Memory for what has come, and not for what is announced.
      this.#shared = new SharedArrayBuffer(Math.min(2 * this.size, most), { maxByteLength: most })
    } catch {
      return false
    }
    let at = 0
    for (const before of [...(this.#rest ?? (this.#first === undefined ? [] : [this.#first])), chunk]) {
      this.#put(before, at)
      at += before.length
    }
    this.#first = this.#rest = undefined
    return true
  }

  #put(chunk: Buffer, at: number): void {
    const shared = this.#shared!
    const end = at + chunk.length
    if (end > shared.byteLength) shared.grow(Math.min(Math.max(end, 2 * shared.byteLength), shared.maxByteLength))
    new Uint8Array(shared, at, chunk.length).set(chunk)
  }

  /** The whole body. That of a large one is shared memory. */
  whole(): Buffer {
    if (this.#shared !== undefined) return Buffer.from(this.#shared as unknown as ArrayBuffer, 0, this.size)
    return this.#rest === undefined ? (this.#first ?? Buffer.alloc(0)) : Buffer.concat(this.#rest, this.size)
  }
}
