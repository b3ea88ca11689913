import { randomFillSync } from 'node:crypto'

const POOL_BYTES = 16_384
const TRACE_ID_BYTES = 16
const SPAN_ID_BYTES = 8
/** The part of a trace id that decides about sampling: 6 bytes, the 7th to the 2nd from the end. */
const DRAWN_BYTES = 6
const DRAWN_AT = 9

/**
 * Ids of traces and spans, and the decision whether to trace. The decision is a function of the trace id alone: its last 7
 * bytes (of which 48 bits are looked at) are compared with the ratio, as in OpenTelemetry's consistent probability sampling,
 * so that another service that samples the same trace by the same rule agrees.
 */
export class TraceIds {
  readonly #fill: (bytes: Buffer) => void
  readonly #threshold: number
  readonly #pool = Buffer.alloc(POOL_BYTES)
  #at = POOL_BYTES

  constructor(ratio: number, fill: (bytes: Buffer) => void = randomFillSync) {
    this.#fill = fill
    this.#threshold = Math.round((1 - ratio) * 2 ** (8 * DRAWN_BYTES))
  }

  /** Begins a trace id, and returns whether the trace is kept; then `traceId` completes the id. Allocates nothing. */
  draw(): boolean {
    this.#reserve(TRACE_ID_BYTES)
    if (this.#pool.readUIntBE(this.#at, DRAWN_BYTES) >= this.#threshold) return true
    this.#at += DRAWN_BYTES
    return false
  }

  /** The id of the trace that `draw` just decided to keep. */
  traceId(): Buffer {
    this.#reserve(TRACE_ID_BYTES)
    const id = Buffer.allocUnsafe(TRACE_ID_BYTES)
    this.#pool.copy(id, 0, this.#at + DRAWN_BYTES, this.#at + TRACE_ID_BYTES - 1)
    this.#pool.copy(id, DRAWN_AT, this.#at, this.#at + DRAWN_BYTES)
    id[TRACE_ID_BYTES - 1] = this.#pool[this.#at + TRACE_ID_BYTES - 1]!
    this.#at += TRACE_ID_BYTES
    return id
  }

  /** A span id, whose bytes are valid until the next call. */
  spanId(): Buffer {
    this.#reserve(SPAN_ID_BYTES)
    const id = this.#pool.subarray(this.#at, this.#at + SPAN_ID_BYTES)
    this.#at += SPAN_ID_BYTES
    return id
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= POOL_BYTES) return
    this.#fill(this.#pool)
    this.#at = 0
  }
}
