import { firstCharacters } from '../core/text.ts'
import { API_VERSION } from '../contract/schema.ts'
import { isSlipwayError, messageOf } from '../core/errors.ts'
import { slipwayVersion } from '../core/version.ts'
import type { ServerReport } from '../contract/followed-state.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { ControlPlaneClient } from './control-plane-client.ts'
import type { FollowStatus } from './types.ts'

export interface ReporterOptions {
  readonly client: Pick<ControlPlaneClient, 'report'>
  readonly server: string
  readonly bootId: string
  readonly url: string | undefined
  readonly status: () => FollowStatus
  readonly clock: Clock
  readonly log: Logger
}

/** Interval of reports where nothing changes, and time that each report holds. */
const BEAT_MS = 15_000
const EXPIRES_MS = 50_000
/** Changes within this time are reported together. */
const TOGETHER_MS = 50

/** Reports the state of the server to the control plane: when something has changed, and at an interval. */
export class Reporter implements AsyncDisposable {
  readonly #options: ReporterOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #dueMs = Infinity
  #sending: Promise<void> | undefined
  #again = false
  /** The last refusal that was logged. */
  #refusal: string | undefined

  constructor(options: ReporterOptions) {
    this.#options = options
  }

  /** Schedules a report of a change. */
  changed(): void {
    this.#due(TOGETHER_MS)
  }

  #due(inMs: number): void {
    const { clock } = this.#options
    if (this.#ended.signal.aborted) return
    const at = clock.monotonicMs() + inMs
    if (at >= this.#dueMs) return
    this.#cancel?.()
    this.#dueMs = at
    this.#cancel = clock.after(inMs, () => {
      this.#dueMs = Infinity
      this.#begin()
    })
  }

  #begin(): void {
    if (this.#sending !== undefined) {
      this.#again = true
      return
    }
    this.#sending = this.#send().finally(() => {
      this.#sending = undefined
      this.#due(this.#again ? TOGETHER_MS : BEAT_MS)
      this.#again = false
    })
  }

  async #send(): Promise<void> {
    const { client, server, bootId, url, status, clock, log } = this.#options
    const { staleSeconds, trouble, endpoints, source } = status()
    const report: ServerReport = {
      apiVersion: API_VERSION,
      bootId,
      release: slipwayVersion(),
      ...(url !== undefined && { url }),
      sentAt: clock.epochMs(),
      staleSeconds,
      ...(trouble !== undefined && { message: firstCharacters(trouble, 4000) }),
      ...(source !== undefined && { follows: source }),
      expiresInMs: EXPIRES_MS,
      endpoints: endpoints.map(({ versions, ...endpoint }) => ({ ...endpoint, versions: [...versions] })),
    }
    try {
      await client.report(server, report, this.#ended.signal)
    } catch (error) {
      const message = messageOf(error)
      // A server whose reports are refused is missing where people look for it; that is told once.
      const refused = isSlipwayError(error) && error.code === 'SLW_FORBIDDEN' && message !== this.#refusal
      if (refused) this.#refusal = message
      log[refused ? 'warn' : 'debug']({}, `report not sent: ${message}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    this.#cancel?.()
    await this.#sending
  }
}
