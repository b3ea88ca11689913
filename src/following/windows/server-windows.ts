import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../../core/errors.ts'
import { WindowBuffer } from './buffer.ts'
import { AbandonedWindows } from './abandoned-windows.ts'
import { WindowPusher } from './pusher.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Observed } from '../../serving/observe/observations.ts'
import type { ControlPlaneClient } from '../control-plane-client.ts'
import type { WindowCutter } from './cutter.ts'
import type { WindowFolders } from './folders.ts'

export interface ServerWindowsOptions {
  readonly folders: WindowFolders
  readonly server: string
  readonly cutter: WindowCutter
  readonly client: Pick<ControlPlaneClient, 'sendWindows'>
  /** Client in the name of another server that ran on this machine. */
  readonly clientOf: (server: string) => Pick<ControlPlaneClient, 'sendWindows'> & Disposable
  /** The observations of the server. */
  readonly observed: () => Promise<readonly Observed[]>
  readonly clock: Clock
  readonly log: Logger
}

/** Limits of the files that wait for the control plane: a day of cuts, then they are merged. */
const BOUNDS = { filesMax: 8640, bytesMax: 64 * 1024 * 1024 }

/** Pause after a failure to open the folder. */
const AGAIN_MS = 5000

/** The windows of a server, and of servers that ran here before it. Serving does not wait for them. */
export class ServerWindows implements AsyncDisposable {
  readonly #options: ServerWindowsOptions
  readonly #ended = new AbortController()
  readonly #held = new AsyncDisposableStack()
  #beginning: Promise<void> = Promise.resolve()
  #pusher: WindowPusher | undefined
  #trouble: string | undefined

  constructor(options: ServerWindowsOptions) {
    this.#options = options
  }

  /** The current problem; undefined where there is none. */
  get trouble(): string | undefined {
    return this.#trouble ?? this.#pusher?.trouble
  }

  start(): void {
    this.#beginning = this.#begin()
  }

  async #begin(): Promise<void> {
    const { log } = this.#options
    const { signal } = this.#ended
    while (!signal.aborted)
      try {
        await this.#open()
        this.#trouble = undefined
        return
      } catch (error) {
        if (signal.aborted) return
        const before = this.#trouble
        this.#trouble = `windows cannot be kept: ${messageOf(error)}`
        if (this.#trouble !== before) log.error({}, this.#trouble)
        await pause(AGAIN_MS, undefined, { signal }).catch(() => {})
      }
  }

  /** Observations that were counted before the folder was taken come with the first window. */
  async #open(): Promise<void> {
    const { folders, server, log, clock, clientOf } = this.#options
    await using opened = new AsyncDisposableStack()
    const folder = opened.use(await folders.take(server, this.#ended.signal))
    const buffer = await WindowBuffer.open({ folder: folder.path, ...BOUNDS })
    const left = opened.use(new AbandonedWindows({ folders, server, clientOf, bounds: BOUNDS, clock, log }))
    // Ended first: the last observations are kept before anything else is waited for.
    this.#pusher = opened.use(new WindowPusher({ ...this.#options, buffer }))
    this.#held.use(opened.move())
    this.#pusher.start()
    left.start()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#beginning
    await this.#held.disposeAsync()
  }
}
