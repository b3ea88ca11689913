import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../../core/errors.ts'
import { WindowBuffer } from './buffer.ts'
import { sendWindows } from './send.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { ControlPlaneClient } from '../control-plane-client.ts'
import type { BufferOptions } from './buffer.ts'
import type { WindowFolders } from './folders.ts'

export interface AbandonedOptions {
  readonly folders: WindowFolders
  /** Name of this server, whose own folder is left out. */
  readonly server: string
  /** Client in the name of that server. */
  readonly clientOf: (server: string) => Pick<ControlPlaneClient, 'sendWindows'> & Disposable
  readonly bounds: Omit<BufferOptions, 'folder'>
  readonly clock: Clock
  readonly log: Logger
}

const LOOK_EVERY_MS = 60_000
const FIRST_LOOK_MS = 2000
/** Time that a folder is free between two requests: longer than the pauses of a server that waits for it. */
const FREE_MS = 250
/** Age from which the control plane does not accept windows: they may have been counted. */
const LIFE_MS = 9 * 24 * 3600 * 1000

/** Sends windows that servers of other names left unsent on this machine: a container has another name each time. */
export class AbandonedWindows implements AsyncDisposable {
  readonly #options: AbandonedOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #sending: Promise<void> = Promise.resolve()

  constructor(options: AbandonedOptions) {
    this.#options = options
  }

  start(inMs: number = FIRST_LOOK_MS): void {
    this.#cancel = this.#options.clock.after(inMs, () => {
      this.#sending = this.send().finally(() => {
        if (!this.#ended.signal.aborted) this.start(LOOK_EVERY_MS)
      })
    })
  }

  /** Never rejects. */
  async send(): Promise<void> {
    const { folders, server: own, clock, log } = this.#options
    const { signal } = this.#ended
    try {
      const others = (await folders.servers()).filter((server) => server !== own)
      for (const server of others) while (!signal.aborted && (await this.#sendSome(server))) await pause(FREE_MS, undefined, { signal })
      await folders.sweepOthers(clock.epochMs() - LIFE_MS)
    } catch (error) {
      if (!signal.aborted) log.warn({}, `windows that other servers have left are not sent: ${messageOf(error)}`)
    }
  }

  /** Sends one request, after which the folder is free for its server. @returns whether there is more that can be sent now */
  async #sendSome(server: string): Promise<boolean> {
    const { folders, clientOf, bounds, clock, log } = this.#options
    using folder = await folders.tryTake(server)
    if (folder === undefined) return false
    const buffer = await WindowBuffer.open({ folder: folder.path, ...bounds })
    const newest = await buffer.newestMs()
    const old = newest !== undefined && newest < clock.epochMs() - LIFE_MS
    if (newest !== undefined && !old) {
      using client = clientOf(server)
      const sent = await sendWindows({ buffer, client, server, clock, log }, this.#ended.signal, 1)
      if (buffer.dropped > 0) log.warn({}, `${buffer.dropped} windows that server "${server}" had left were given up, as they were refused`)
      if (sent !== 'all') return sent === 'some'
      log.info({}, `what server "${server}" had left is sent`)
    }
    if (old) log.warn({}, `the windows that server "${server}" has left are given up: they are older than nine days`)
    await folders.remove(folder)
    return false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    this.#cancel?.()
    await this.#sending
  }
}
