import { SlipwayError } from '../../core/errors.ts'

/** Before each message: whether it is compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message"). */
export const PREFIX_BYTES = 5
/** Memory for a message is taken as it comes, and not as it is announced. */
const BEGIN_BYTES = 64 * 1024
/** What elements of tensors are aligned to. */
const ALIGNED = 8

export interface MessageLimit {
  readonly bytes: number
  readonly name: string
}

/**
 * Puts messages together from the data of a stream. A message that lies in one piece is a view of it; the end of any other is aligned to 8
 * bytes, so that a tensor at its end, where raw contents are, needs no copy.
 */
export class MessageReader {
  readonly #limit: MessageLimit
  readonly #take: (message: Buffer, compressed: boolean) => void
  #prefix: Buffer | undefined
  #prefixed = 0
  #compressed = false
  #length = 0
  #message: Buffer | undefined
  #offset = 0
  #received = 0

  /**
   * @param limit bytes of a message, and how that limit is called
   * @param take called for each message, within `push`
   */
  constructor(limit: MessageLimit, take: (message: Buffer, compressed: boolean) => void) {
    this.#limit = limit
    this.#take = take
  }

  /** Bytes of the current message that are missing; 0 between two messages. */
  get missing(): number {
    return this.#message === undefined ? (this.#prefixed === 0 ? 0 : PREFIX_BYTES - this.#prefixed) : this.#length - this.#received
  }

  /** @throws SLW_BODY_TOO_LARGE, SLW_BAD_REQUEST */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#message !== undefined) at = this.#fill(chunk, at)
      else if (this.#prefixed > 0 || chunk.length - at < PREFIX_BYTES) at = this.#fillPrefix(chunk, at)
      else {
        this.#begin(chunk, at)
        at += PREFIX_BYTES
        const end = at + this.#length
        if (end <= chunk.length) {
          this.#take(chunk.subarray(at, end), this.#compressed)
          at = end
        } else this.#hold(chunk.length - at)
      }
    }
  }

  #fillPrefix(chunk: Buffer, at: number): number {
    this.#prefix ??= Buffer.alloc(PREFIX_BYTES)
    const size = Math.min(PREFIX_BYTES - this.#prefixed, chunk.length - at)
    chunk.copy(this.#prefix, this.#prefixed, at, at + size)
    this.#prefixed += size
    if (this.#prefixed === PREFIX_BYTES) {
      this.#prefixed = 0
      this.#begin(this.#prefix, 0)
      if (this.#length === 0) this.#take(Buffer.alloc(0), this.#compressed)
      else this.#hold(0)
    }
    return at + size
  }

  #begin(bytes: Buffer, at: number): void {
    const flag = bytes[at]!
    if (flag > 1) throw new SlipwayError('SLW_BAD_REQUEST', `a message begins with the flag ${flag}; 0 is plain, 1 compressed`)
    this.#compressed = flag === 1
    this.#length = bytes.readUInt32BE(at + 1)
    const { bytes: most, name } = this.#limit
    if (this.#length > most) throw new SlipwayError('SLW_BODY_TOO_LARGE', `the message has ${this.#length} bytes, ${name} is ${most}`)
  }

  #hold(least: number): void {
    this.#offset = (ALIGNED - (this.#length % ALIGNED)) % ALIGNED
    this.#received = 0
    this.#message = Buffer.allocUnsafeSlow(this.#offset + Math.min(this.#length, Math.max(least, BEGIN_BYTES)))
  }

  #fill(chunk: Buffer, at: number): number {
    let message = this.#message!
    const size = Math.min(this.#length - this.#received, chunk.length - at)
    const needed = this.#offset + this.#received + size
    if (needed > message.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#offset + this.#length, Math.max(needed, 2 * message.length)))
      message.copy(larger, 0, 0, this.#offset + this.#received)
      this.#message = message = larger
    }
    chunk.copy(message, this.#offset + this.#received, at, at + size)
    this.#received += size
    if (this.#received === this.#length) {
      this.#message = undefined
      this.#take(message.subarray(this.#offset, this.#offset + this.#length), this.#compressed)
    }
    return at + size
  }
}

/** Writes the prefix into bytes that were left free for it. */
export function sealMessage(bytes: Buffer, compressed = false): Buffer {
  bytes[0] = compressed ? 1 : 0
  bytes.writeUInt32BE(bytes.length - PREFIX_BYTES, 1)
  return bytes
}
