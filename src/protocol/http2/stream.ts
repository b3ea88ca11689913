import { REASON, WINDOW_BYTES, WINDOW_MOST } from './frames.ts'
import type { Reason } from './frames.ts'
import type { Header } from './hpack.ts'

/** What a request's data go to. */
export interface StreamTaker {
  /** @param bytes lent: a view of what came from the socket */
  data(bytes: Buffer): void
  /** The request is complete. */
  end(): void
  /** The client has taken it back, or is gone. */
  gone(): void
  /** What had to wait for room has gone out. */
  drained?(): void
}

/** The parts of a connection that its streams use. */
export interface StreamHost {
  allow(stream: Stream, bytes: number): void
  reset(stream: Stream, reason: Reason): void
  sendWhole(stream: Stream, head: string, data: Buffer, trailers: string): boolean
  sendHeaders(stream: Stream, block: string, ends: boolean): void
  pump(stream: Stream): void
}

const NOBODY: StreamTaker = { data() {}, end() {}, gone() {} }

/** One request and its answer. After its end, and when the client is gone, what is sent goes nowhere. */
export class Stream {
  readonly id: number
  /** Undefined where they were larger than `headerBytes`. */
  readonly headers: readonly Header[] | undefined
  taker: StreamTaker = NOBODY
  /** For the connection: bytes of a frame of data that are still to come. */
  arriving = 0
  #remoteEnded: boolean
  readonly #host: StreamHost
  /** Bytes that the client has room for. */
  #window: number
  /** Bytes that the client may send. */
  #receiveWindow = WINDOW_BYTES
  #expected: number
  readonly #queue: Buffer[] = []
  #waiting = 0
  #trailers: string | undefined
  /** Bytes that have been sent, and what they were at the last look, and since when. */
  #sent = 0
  #seen = -1
  #sinceMs = 0

  constructor(id: number, headers: readonly Header[] | undefined, options: { window: number; ended: boolean; host: StreamHost }) {
    this.id = id
    this.headers = headers
    this.#window = options.window
    this.#remoteEnded = options.ended
    this.#host = options.host
    const announced = this.header('content-length')
    this.#expected = announced === undefined ? Number.NaN : Number(announced)
  }

  /** The first header of a name, which is in lower case. */
  header(name: string): string | undefined {
    const { headers } = this
    if (headers === undefined) return undefined
    for (let index = 0; index < headers.length; index++) if (headers[index]!.name === name) return headers[index]!.value
    return undefined
  }

  get window(): number {
    return this.#window
  }

  /** Whether the whole request has come. */
  get remoteEnded(): boolean {
    return this.#remoteEnded
  }

  /** Bytes that wait for room. */
  get waiting(): number {
    return this.#waiting
  }

  /** For the connection: a frame of data begins. @returns whether it was allowed */
  received(length: number, padding: number): boolean {
    this.#receiveWindow -= length
    this.#expected -= length - padding
    if (this.#receiveWindow < 0) return false
    if (padding > 0) this.allow(padding)
    return true
  }

  /** For the connection: the client has sent all. @returns whether that was as much as it had announced */
  endRemote(): boolean {
    this.#remoteEnded = true
    if (!Number.isNaN(this.#expected) && this.#expected !== 0) return false
    this.taker.end()
    return true
  }

  /** For the connection: the client has room for so many bytes more. @returns whether that is within bounds */
  widen(bytes: number): boolean {
    this.#window += bytes
    return this.#window <= WINDOW_MOST
  }

  /** Bytes that the client may send before it is allowed more. */
  get room(): number {
    return this.#receiveWindow + this.arriving
  }

  /** Lets the client send so many bytes more. */
  allow(bytes: number): void {
    if (bytes <= 0 || this.#remoteEnded) return
    const more = Math.min(bytes, WINDOW_MOST - this.#receiveWindow)
    this.#receiveWindow += more
    this.#host.allow(this, more)
  }

  /** For the connection: the next bytes that fit. */
  shift(room: number): Buffer[] {
    const parts: Buffer[] = []
    let left = room
    while (left > 0 && this.#queue.length > 0) {
      const first = this.#queue[0]!
      if (first.length <= left) {
        parts.push(first)
        this.#queue.shift()
        left -= first.length
      } else {
        parts.push(first.subarray(0, left))
        this.#queue[0] = first.subarray(left)
        left = 0
      }
    }
    const size = room - left
    this.#waiting -= size
    this.#window -= size
    this.#sent += size
    return parts
  }

  /** For the connection: for how long nothing has gone out, as far as its looks tell. */
  stalledMs(nowMs: number): number {
    if (this.#seen !== this.#sent) {
      this.#seen = this.#sent
      this.#sinceMs = nowMs
    }
    return nowMs - this.#sinceMs
  }

  /** For the connection: a whole answer has been sent. */
  spend(bytes: number): void {
    this.#window -= bytes
  }

  takeTrailers(): string | undefined {
    const trailers = this.#trailers
    this.#trailers = undefined
    return trailers
  }

  /** The whole answer: headers, data, trailers; blocks as of `encodeHeaders`. */
  answer(head: string, data: Buffer, trailers: string): void {
    if (this.#waiting === 0 && this.#host.sendWhole(this, head, data, trailers)) return
    this.head(head)
    this.write(data)
    this.end(trailers)
  }

  head(block: string): void {
    this.#host.sendHeaders(this, block, false)
  }

  /** Adds data, which are kept and not copied. */
  write(data: Buffer): void {
    if (data.length === 0) return
    this.#queue.push(data)
    this.#waiting += data.length
    this.#host.pump(this)
  }

  end(trailers: string): void {
    if (this.#waiting === 0) this.#host.sendHeaders(this, trailers, true)
    else this.#trailers = trailers
  }

  /** An answer that is headers alone. */
  endWithHead(block: string): void {
    this.#host.sendHeaders(this, block, true)
  }

  /** Breaks it off. */
  cancel(reason: Reason = REASON.cancel): void {
    this.#host.reset(this, reason)
  }
}
