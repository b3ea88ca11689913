import { messageOf } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { untilNextCut } from './cutter.ts'
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

/** Windows are kept on disk before they are sent, and stay there until they have arrived. */
export class WindowPusher implements AsyncDisposable {
  readonly #options: PusherOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #sending: Promise<void> | undefined
  #trouble: string | undefined

  constructor(options: PusherOptions) {
    this.#options = options
  }

  start(): void {
    const { clock } = this.#options
    this.#cancel = clock.after(untilNextCut(clock.epochMs()), () => {
      void this.push().finally(() => {
        if (!this.#ended.signal.aborted) this.start()
      })
    })
  }

  /** What troubles it; undefined where nothing does. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  /** Cuts, keeps, and sends what has not arrived. Never rejects. */
  async push(): Promise<void> {
    const { cutter, buffer, families, clock, log } = this.#options
    const before = this.#trouble
    try {
      await buffer.add(cutter.cut(await families(), clock.epochMs()))
      this.#trouble = buffer.dropped === 0 ? undefined : `${buffer.dropped} windows were given up, as the buffer is full`
    } catch (error) {
      this.#trouble = `windows cannot be kept: ${messageOf(error)}`
      if (this.#trouble !== before) log.error({}, this.#trouble)
    }
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined))
    await this.#sending
  }

  async #send(): Promise<void> {
    const { buffer, client, server, clock } = this.#options
    try {
      for (let unsent = await buffer.next(); unsent !== undefined; unsent = await buffer.next()) {
        await client.sendWindows(server, unsent.windows, clock.epochMs(), this.#ended.signal)
        await faultPoint('windows.sent')
        await buffer.done(unsent.names)
      }
    } catch (error) {
      // They are kept; the next time is soon.
      this.#options.log.debug({}, `windows not sent: ${messageOf(error)}`)
    }
  }

  /** Cuts and sends once more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel?.()
    await this.push()
    this.#ended.abort()
  }
}
