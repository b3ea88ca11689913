import { messageOf } from '../../core/errors.ts'
import { untilNextCut } from './cutter.ts'
import { sendWindows } from './send.ts'
import type { ObservationWindow } from '../../contract/observation-window.ts'
import type { Observed } from '../../serving/observe/observations.ts'
import type { WindowCutter } from './cutter.ts'
import type { SendOptions } from './send.ts'

export interface PusherOptions extends SendOptions {
  readonly cutter: WindowCutter
  /** The observations of the server. */
  readonly observed: () => Promise<readonly Observed[]>
}

/** Upper limit of cuts that wait in memory for the disk: an hour. */
const UNKEPT_MAX = 360

/** Cuts and sends windows: they are kept on disk before they are sent, and stay there until they have arrived. */
export class WindowPusher implements AsyncDisposable {
  readonly #options: PusherOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #sending: Promise<unknown> | undefined
  #trouble: string | undefined
  /** Cuts that the disk did not take, the oldest first. */
  readonly #unkept: ObservationWindow[][] = []

  constructor(options: PusherOptions) {
    this.#options = options
  }

  start(): void {
    const { clock } = this.#options
    this.#cancel = clock.after(untilNextCut(clock.epochMs()), () => {
      // The next window is cut in time, however long sending takes.
      void this.#cut().finally(() => {
        if (this.#ended.signal.aborted) return
        this.start()
        void this.#sendOnce()
      })
    })
  }

  /** The current problem; undefined where there is none. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  /** Cuts, keeps, and sends what has not arrived. Never rejects. */
  async push(): Promise<void> {
    await this.#cut()
    await this.#sendOnce()
  }

  async #cut(): Promise<void> {
    const { cutter, buffer, observed, clock, log } = this.#options
    const before = this.#trouble
    try {
      this.#unkept.push(cutter.cut(await observed(), clock.epochMs()))
      for (let cut = this.#unkept[0]; cut !== undefined; cut = this.#unkept[0]) {
        await buffer.add(cut)
        this.#unkept.shift()
      }
      this.#trouble =
        buffer.dropped === 0 ? undefined : `${buffer.dropped} windows were given up, as the buffer is full or they were refused`
    } catch (error) {
      this.#trouble = `windows cannot be kept: ${messageOf(error)}`
      if (this.#unkept.length > UNKEPT_MAX) buffer.dropped += this.#unkept.shift()!.length
    }
    if (this.#trouble !== undefined && this.#trouble !== before) log.error({}, this.#trouble)
  }

  async #sendOnce(): Promise<void> {
    this.#sending ??= sendWindows(this.#options, this.#ended.signal).finally(() => (this.#sending = undefined))
    await this.#sending
  }

  /** Cuts and sends once more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel?.()
    await this.push()
    this.#ended.abort()
  }
}
