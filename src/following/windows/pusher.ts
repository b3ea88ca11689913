import { isSlipwayError, messageOf } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { untilNextCut } from './cutter.ts'
import type { ObservationWindow } from '../../contract/observation-window.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { ControlPlaneClient } from '../control-plane-client.ts'
import type { WindowBuffer } from './buffer.ts'
import type { WindowCutter } from './cutter.ts'

export interface PusherOptions {
  readonly cutter: WindowCutter
  readonly buffer: WindowBuffer
  readonly client: Pick<ControlPlaneClient, 'sendWindows'>
  readonly server: string
  /** What the server counts. */
  readonly families: () => Promise<readonly Family[]>
  readonly clock: Clock
  readonly log: Logger
}

/** Cuts that wait in memory for the disk: an hour. */
const UNKEPT_MAX = 360

/** Windows are kept on disk before they are sent, and stay there until they have arrived. */
export class WindowPusher implements AsyncDisposable {
  readonly #options: PusherOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #sending: Promise<void> | undefined
  #trouble: string | undefined
  /** Cuts that the disk did not take, the oldest first. */
  readonly #unkept: ObservationWindow[][] = []

  constructor(options: PusherOptions) {
    this.#options = options
  }

  start(): void {
    const { clock } = this.#options
    this.#cancel = clock.after(untilNextCut(clock.epochMs()), () => {
      // However long sending takes, the next window is cut in time.
      void this.#cut().finally(() => {
        if (this.#ended.signal.aborted) return
        this.start()
        void this.#sendOnce()
      })
    })
  }

  /** What troubles it; undefined where nothing does. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  /** Cuts, keeps, and sends what has not arrived. Never rejects. */
  async push(): Promise<void> {
    await this.#cut()
    await this.#sendOnce()
  }

  async #cut(): Promise<void> {
    const { cutter, buffer, families, clock, log } = this.#options
    const before = this.#trouble
    try {
      this.#unkept.push(cutter.cut(await families(), clock.epochMs()))
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
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined))
    await this.#sending
  }

  async #send(): Promise<void> {
    const { buffer, client, server, clock, log } = this.#options
    let most: number | undefined
    try {
      for (let unsent = await buffer.next(most); unsent !== undefined; unsent = await buffer.next(most)) {
        try {
          await client.sendWindows(server, unsent.windows, clock.epochMs(), this.#ended.signal)
        } catch (error) {
          if (!isForGood(error)) throw error
          // One that will never be taken does not hold up the others: they go one by one.
          if (unsent.names.length > 1) most = 1
          else {
            log.error({}, `windows are given up, as the control plane refuses them: ${messageOf(error)}`)
            await buffer.giveUp(unsent)
          }
          continue
        }
        await faultPoint('windows.sent')
        await buffer.done(unsent.names)
      }
    } catch (error) {
      // They are kept; the next time is soon.
      log.debug({}, `windows not sent: ${messageOf(error)}`)
    }
  }

  /** Cuts and sends once more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel?.()
    await this.push()
    this.#ended.abort()
  }
}

/** It will be refused however often it is sent. */
function isForGood(error: unknown): boolean {
  return isSlipwayError(error) && [400, 409, 413, 422].includes(error.kind.http)
}
