import type { Clock } from '../core/clock.ts'

/** Less than this is not worth a load. */
const HELD_BYTES_MIN = 32 * 1024 * 1024

/** How much smaller than the largest run those of late must be. */
const SMALLER = 4

/** Time without large runs before an instance is opened anew; it doubles with each time that large runs came back, up to an hour. */
const QUIET_MS = 60_000
const QUIET_MAX_MS = 3_600_000

/**
 * Decides when an instance is opened anew to give back what large runs left in it: ONNX Runtime keeps the memory of the largest run for as
 * long as a session lives. It is due when runs made the instance grow by more than it took when it was opened (so that two of it side by
 * side hold no more than it does now), and those of the last minute were far smaller than the largest, or there were none.
 */
export class Renewal {
  readonly #clock: Clock
  readonly #due: (heldBytes: number) => void
  #openedBytes = 0
  #heldBytes = 0
  /** Sizes of runs: the largest since the opening, and since the last look. */
  #largest = 0
  #recent = 0
  #quietMs = QUIET_MS
  #renewedMs = Number.NEGATIVE_INFINITY
  #cancel: (() => void) | undefined

  /** @param due called with the bytes that would come back; `opened` follows, or `put off` */
  constructor(clock: Clock, due: (heldBytes: number) => void) {
    this.#clock = clock
    this.#due = due
  }

  /** An instance begins. @param bytes memory that it took to open it */
  opened(bytes: number): void {
    this.stop()
    this.#openedBytes = bytes
    this.#heldBytes = 0
    this.#largest = 0
  }

  /** A run is over. @param bytes size of its inputs @param grownBytes memory that the instance grew by meanwhile, or shrank */
  ran(bytes: number, grownBytes: number): void {
    if (bytes > this.#largest) this.#largest = bytes
    if (bytes > this.#recent) this.#recent = bytes
    if (grownBytes === 0) return
    this.#heldBytes = Math.max(0, this.#heldBytes + grownBytes)
    this.#watch()
  }

  /** The instance that was due could not be opened anew: it is looked at again after a longer time. */
  putOff(): void {
    this.#watch()
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #watch(): void {
    if (this.#cancel !== undefined || this.#heldBytes < Math.max(HELD_BYTES_MIN, this.#openedBytes)) return
    if (this.#clock.monotonicMs() - this.#renewedMs > QUIET_MAX_MS) this.#quietMs = QUIET_MS
    this.#recent = 0
    this.#cancel = this.#clock.after(this.#quietMs, () => this.#look())
  }

  #look(): void {
    this.#cancel = undefined
    if (this.#recent * SMALLER > this.#largest) return this.#watch()
    this.#renewedMs = this.#clock.monotonicMs()
    this.#quietMs = Math.min(QUIET_MAX_MS, 2 * this.#quietMs)
    this.#due(this.#heldBytes)
  }
}
