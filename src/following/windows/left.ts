import { messageOf } from '../../core/errors.ts'
import { WindowBuffer } from './buffer.ts'
import { sendWindows } from './send.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { ControlPlaneClient } from '../control-plane-client.ts'
import type { BufferOptions } from './buffer.ts'
import type { WindowFolder, WindowFolders } from './folders.ts'

export interface LeftOptions {
  readonly folders: WindowFolders
  /** Our own folder is none of them. */
  readonly server: string
  /** One that speaks for a server of that name. */
  readonly clientOf: (server: string) => Pick<ControlPlaneClient, 'sendWindows'> & Disposable
  readonly bounds: Omit<BufferOptions, 'folder'>
  readonly clock: Clock
  readonly log: Logger
}

const LOOK_EVERY_MS = 60_000
const FIRST_LOOK_MS = 2000
/** What is older the control plane does not take: it may have been counted. */
const LIFE_MS = 9 * 24 * 3600 * 1000

/** Sends the windows of servers that ran on this machine under another name and did not come to send them: a container has another name each time. */
export class LeftWindows implements AsyncDisposable {
  readonly #options: LeftOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #sending: Promise<void> = Promise.resolve()

  constructor(options: LeftOptions) {
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
    const { folders, server: own, log } = this.#options
    for (const server of await folders.servers()) {
      if (server === own || this.#ended.signal.aborted) continue
      try {
        using folder = await folders.tryTake(server)
        if (folder !== undefined) await this.#sendOf(folder)
      } catch (error) {
        log.warn({}, `the windows that server "${server}" has left are not sent: ${messageOf(error)}`)
      }
    }
  }

  async #sendOf(folder: WindowFolder): Promise<void> {
    const { folders, clientOf, bounds, clock, log } = this.#options
    const { server } = folder
    const buffer = await WindowBuffer.open({ folder: folder.path, ...bounds })
    const newest = await buffer.newestMs()
    if (newest !== undefined && newest >= clock.epochMs() - LIFE_MS) {
      using client = clientOf(server)
      if (!(await sendWindows({ buffer, client, server, clock, log }, this.#ended.signal))) return
      log.info({}, `the windows that server "${server}" had left have been sent`)
    } else if (newest !== undefined)
      log.warn({}, `the windows that server "${server}" has left are given up: they are older than nine days`)
    await folders.remove(folder)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    this.#cancel?.()
    await this.#sending
  }
}
