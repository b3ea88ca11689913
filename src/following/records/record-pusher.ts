import { readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSlipwayError, messageOf } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { closeAbandoned, closedFiles, linesOf, makeSpoolFolder, removeFile } from '../../serving/records/spool-files.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { ControlPlaneClient } from '../control-plane-client.ts'
import type { SpoolName } from '../../serving/records/spool-files.ts'

export interface RecordPusherOptions {
  /** The spool of one control plane: see `spoolFolder`. */
  readonly folder: string
  readonly client: Pick<ControlPlaneClient, 'sendRecords'>
  readonly server: string
  readonly clock: Clock
  readonly log: Logger
}

const LOOK_EVERY_MS = 2000
/** Time that the end of a server waits for its last records. */
const LAST_MS = 5000
/** Age of what other control planes were to have, and that nobody has sent: it is removed, as they would refuse it. */
const LIFE_MS = 9 * 24 * 3600 * 1000

/** Sends the files of the spool, also those of processes and servers that have ended: they stay until they have arrived. */
export class RecordPusher implements AsyncDisposable {
  readonly #options: RecordPusherOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #sending: Promise<void> | undefined
  #trouble: string | undefined
  /** Records that the control plane refused, and that were given up. */
  refused = 0

  constructor(options: RecordPusherOptions) {
    this.#options = options
  }

  start(): void {
    void this.#removeForeign().finally(() => this.#later())
  }

  #later(): void {
    if (this.#ended.signal.aborted) return
    this.#cancel = this.#options.clock.after(LOOK_EVERY_MS, () => void this.push().finally(() => this.#later()))
  }

  /** Sends everything that is whole. Never rejects. */
  async push(signal: AbortSignal = this.#ended.signal): Promise<void> {
    this.#sending ??= this.#push(signal).finally(() => (this.#sending = undefined))
    await this.#sending
  }

  async #push(signal: AbortSignal): Promise<void> {
    const { folder } = this.#options
    try {
      await makeSpoolFolder(folder)
      await closeAbandoned(folder)
      for (const name of await closedFiles(folder)) await this.#send(name, signal)
      this.#trouble = undefined
    } catch (error) {
      if (signal.aborted) return
      this.#tell(`records are not sent, and stay in ${folder}: ${messageOf(error)}`)
    }
  }

  async #send(name: SpoolName, signal: AbortSignal): Promise<void> {
    const { folder, client, server, clock, log } = this.#options
    const lines = await linesOf(folder, name).catch(missing)
    // Another server of this machine has sent it.
    if (lines === undefined) return
    try {
      if (lines.length > 0) await client.sendRecords(server, { ...name, sentAt: clock.epochMs() }, `${lines.join('\n')}\n`, signal)
    } catch (error) {
      if (!isForGood(error)) throw error
      this.refused += lines.length
      log.error({}, `${lines.length} records are given up, as the control plane refuses them: ${messageOf(error)}`)
    }
    await faultPoint('records.sent')
    await removeFile(folder, name)
  }

  #tell(trouble: string): void {
    if (trouble !== this.#trouble) this.#options.log.warn({}, trouble)
    this.#trouble = trouble
  }

  /** Removes what was kept for control planes that are no longer followed. Never rejects. */
  async #removeForeign(): Promise<void> {
    const { folder, clock, log } = this.#options
    try {
      for (const plane of await readdir(dirname(folder))) {
        const path = join(dirname(folder), plane)
        if (path === folder) continue
        const times = await Promise.all([path, ...(await readdir(path)).map((name) => join(path, name))].map((one) => stat(one)))
        if (times.every(({ mtimeMs }) => mtimeMs < clock.epochMs() - LIFE_MS)) await rm(path, { recursive: true, force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn({}, `old records cannot be removed from ${dirname(folder)}: ${messageOf(error)}`)
    }
  }

  /** Sends what is there, for a limited time. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel?.()
    const late = this.#options.clock.after(LAST_MS, () => this.#ended.abort())
    await this.#sending
    await this.push()
    late()
    this.#ended.abort()
  }
}

/** Whether a refusal is permanent. */
function isForGood(error: unknown): boolean {
  return isSlipwayError(error) && [400, 413, 422].includes(error.kind.http)
}

function missing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}
