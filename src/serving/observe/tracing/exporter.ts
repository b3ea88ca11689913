import { messageOf } from '../../../core/errors.ts'
import type { Clock } from '../../../core/clock.ts'
import type { Logger } from '../../../core/log.ts'
import type { RequestTrace } from './request-trace.ts'
import type { Outcome, Transport } from './transport.ts'

/** Reasons for which spans are lost. */
export const DROP_REASONS = ['buffer_full', 'rejected', 'undeliverable', 'shutdown'] as const
export type DropReason = (typeof DROP_REASONS)[number]

export interface ExporterOptions {
  readonly transport: Transport
  readonly encode: (traces: readonly RequestTrace[]) => Uint8Array
  readonly clock: Clock
  readonly log: Logger
  /** For the log; no secrets. */
  readonly endpoint: string
  readonly limits?: Partial<ExporterLimits>
}

/** Milliseconds, and spans. */
export interface ExporterLimits {
  readonly batchSpans: number
  /** Upper limit of a span's wait for its batch to fill. */
  readonly batchMs: number
  /** Upper limit of waiting spans: beyond it new ones are dropped. */
  readonly bufferSpans: number
  /** Time limit of one try. */
  readonly sendMs: number
  /** The first wait after a failure; each next one is twice as long. */
  readonly backoffMs: number
  readonly backoffMaxMs: number
  /** Time after which a batch is given up. */
  readonly giveUpMs: number
  /** Time limit for sending everything that is left at the end. */
  readonly flushMs: number
}

const LIMITS: ExporterLimits = {
  batchSpans: 512,
  batchMs: 1000,
  bufferSpans: 8192,
  sendMs: 10_000,
  backoffMs: 1000,
  backoffMaxMs: 30_000,
  giveUpMs: 300_000,
  flushMs: 5000,
}
/** Pause between two warnings: an unreachable collector must not fill the log. */
const COMPLAINT_EVERY_MS = 60_000

/**
 * Sends traces to a collector in batches, one at a time. A slow or unreachable collector costs memory up to a bound, spans
 * beyond it, and nothing else: no request waits for it, and none of its failures is thrown.
 */
export class Exporter {
  readonly #options: ExporterOptions
  readonly #limits: ExporterLimits
  #waiting: RequestTrace[] = []
  #waitingSpans = 0
  #cancelTimer: (() => void) | undefined
  #pumping: Promise<void> | undefined
  #closed: Promise<void> | undefined
  /** Ends a wait between two tries. */
  #wake: (() => void) | undefined
  /** Ends the try that is under way. */
  #abort: (() => void) | undefined
  /** Whether a batch failed at the end, when each has one try and the first failure ends all. */
  #gaveUp = false
  #toldMs = Number.NEGATIVE_INFINITY
  exportedSpans = 0
  readonly droppedSpans = new Map<DropReason, number>(DROP_REASONS.map((reason) => [reason, 0]))

  constructor(options: ExporterOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
  }

  add(trace: RequestTrace): void {
    const spans = spansOf(trace)
    if (this.#closed !== undefined) {
      this.#drop(spans, 'shutdown')
      return
    }
    if (this.#waitingSpans + spans > this.#limits.bufferSpans) {
      this.#drop(spans, 'buffer_full')
      return
    }
    this.#waiting.push(trace)
    this.#waitingSpans += spans
    if (this.#pumping !== undefined) return
    if (this.#waitingSpans >= this.#limits.batchSpans) void this.#startPump()
    else this.#cancelTimer ??= this.#options.clock.after(this.#limits.batchMs, () => void this.#startPump())
  }

  /** Sends the waiting spans, within `flushMs`; those that the collector does not take by then are lost, and counted. */
  close(): Promise<void> {
    return (this.#closed ??= this.#flush())
  }

  async #flush(): Promise<void> {
    const cancelLimit = this.#options.clock.after(this.#limits.flushMs, () => this.#abort?.())
    this.#wake?.()
    await this.#pumping
    if (this.#waiting.length > 0 && !this.#gaveUp) await this.#startPump()
    cancelLimit()
    this.#drop(this.#waitingSpans, 'shutdown')
    this.#waiting = []
    this.#waitingSpans = 0
    this.#options.transport.close()
    const lost = this.droppedSpans.get('shutdown') ?? 0
    if (lost > 0)
      this.#options.log.warn(
        { endpoint: this.#options.endpoint, spans: lost },
        'traces were lost at the end: the collector did not take them',
      )
  }

  #startPump(): Promise<void> {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    return (this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined
      if (this.#waiting.length > 0 && this.#closed === undefined)
        this.#cancelTimer = this.#options.clock.after(this.#limits.batchMs, () => void this.#startPump())
    }))
  }

  /** Sends one batch, then full ones while there are, and at the end all that is left. */
  async #pump(): Promise<void> {
    do {
      const { traces, spans } = this.#take()
      await this.#deliver(traces, spans)
    } while (this.#closed === undefined ? this.#waitingSpans >= this.#limits.batchSpans : this.#waiting.length > 0 && !this.#gaveUp)
  }

  #take(): { traces: RequestTrace[]; spans: number } {
    let count = 0
    let spans = 0
    for (const trace of this.#waiting) {
      const more = spansOf(trace)
      if (count > 0 && spans + more > this.#limits.batchSpans) break
      count++
      spans += more
    }
    this.#waitingSpans -= spans
    return { traces: this.#waiting.splice(0, count), spans }
  }

  async #deliver(traces: readonly RequestTrace[], spans: number): Promise<void> {
    const { clock } = this.#options
    const { backoffMs, backoffMaxMs, giveUpMs } = this.#limits
    const startedMs = clock.monotonicMs()
    const request = this.#options.encode(traces)
    for (let failures = 0; ; failures++) {
      const outcome = await this.#try(request)
      if (outcome.kind === 'accepted') {
        const rejected = Math.min(spans, outcome.rejectedSpans)
        this.exportedSpans += spans - rejected
        if (rejected > 0) this.#lose(rejected, 'rejected', outcome.reason)
        return
      }
      if (outcome.kind === 'refused') {
        this.#lose(spans, 'rejected', outcome.reason)
        return
      }
      // Between half and the whole, so that servers that lost a collector together do not retry together.
      const backoff = Math.min(backoffMaxMs, backoffMs * 2 ** failures) * (0.5 + Math.random() / 2)
      const waitMs = Math.max(backoff, outcome.retryAfterMs ?? 0)
      const over = clock.monotonicMs() + waitMs - startedMs > giveUpMs
      if (this.#closed !== undefined || over) {
        this.#gaveUp = this.#closed !== undefined
        this.#lose(spans, this.#gaveUp ? 'shutdown' : 'undeliverable', outcome.reason)
        return
      }
      this.#complain(outcome.reason)
      await this.#pause(waitMs)
    }
  }

  async #try(request: Uint8Array): Promise<Outcome> {
    const { clock, transport } = this.#options
    const ending = new AbortController()
    this.#abort = () => ending.abort()
    const cancel = clock.after(this.#limits.sendMs, this.#abort)
    try {
      return await transport.send(request, ending.signal)
    } catch (error) {
      const reason = ending.signal.aborted ? `no answer within ${this.#limits.sendMs} ms` : messageOf(error)
      return { kind: 'retry', reason, retryAfterMs: undefined }
    } finally {
      cancel()
      this.#abort = undefined
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }

  #drop(spans: number, reason: DropReason): void {
    this.droppedSpans.set(reason, (this.droppedSpans.get(reason) ?? 0) + spans)
  }

  #lose(spans: number, reason: DropReason, because: string): void {
    this.#drop(spans, reason)
    this.#complain(because)
  }

  #complain(reason: string): void {
    const now = this.#options.clock.monotonicMs()
    if (now - this.#toldMs < COMPLAINT_EVERY_MS) return
    this.#toldMs = now
    const { log, endpoint } = this.#options
    log.warn(
      { endpoint, reason, waitingSpans: this.#waitingSpans, dropped: Object.fromEntries(this.droppedSpans) },
      'traces are not delivered',
    )
  }
}

function spansOf(trace: RequestTrace): number {
  return trace.parts.length + 1
}
