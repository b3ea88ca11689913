import { isSlipwayError, messageOf } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { ControlPlaneClient } from '../control-plane-client.ts'
import type { FeedbackItem, FeedbackRefusal } from '../../contract/feedback.ts'
import type { FeedbackSpool } from './feedback-spool.ts'

export interface FeedbackSenderOptions {
  readonly spool: FeedbackSpool
  readonly client: Pick<ControlPlaneClient, 'sendFeedback'>
  readonly clock: Clock
  readonly log: Logger
}

/** Pause between two looks for labels of other servers, and after a failure. */
const LOOK_MS = 5000

/** Takes labels in and sends them to the control plane: what was taken is on disk, and stays there until it has arrived. */
export class FeedbackSender implements AsyncDisposable {
  readonly #options: FeedbackSenderOptions
  readonly #ended = new AbortController()
  #cancel: (() => void) | undefined
  #sending: Promise<void> | undefined
  #trouble: string | undefined

  constructor(options: FeedbackSenderOptions) {
    this.#options = options
  }

  /** The current problem; undefined where there is none. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  start(): void {
    this.#due(0)
  }

  /** @throws as `FeedbackSpool.add` */
  async take(items: readonly FeedbackItem[]): Promise<void> {
    await this.#options.spool.add(items)
    if (this.#trouble === undefined) this.#due(0)
  }

  #due(inMs: number): void {
    if (this.#ended.signal.aborted) return
    this.#cancel?.()
    this.#cancel = this.#options.clock.after(inMs, () => {
      // Labels that come while others are sent are found by the same loop, or by the next one.
      this.#sending ??= this.#send().finally(() => {
        this.#sending = undefined
        this.#due(LOOK_MS)
      })
    })
  }

  async #send(): Promise<void> {
    const { spool, log } = this.#options
    const { signal } = this.#ended
    try {
      for (let group = await spool.next(); group !== undefined && !signal.aborted; group = await spool.next()) {
        const refused = await this.#refusals(group.items)
        if (refused.length > 0)
          log.error({}, `${refused.length} labels are given up, as the control plane refuses them: ${refused[0]!.message}`)
        await faultPoint('feedback.sent')
        await spool.done(group.name)
      }
      this.#trouble = undefined
    } catch (error) {
      if (signal.aborted) return
      const before = this.#trouble
      const hint = isSlipwayError(error) && error.code === 'SLW_FORBIDDEN' ? '; they wait for a key that may send feedback' : ''
      this.#trouble = `labels are not sent: ${messageOf(error)}${hint}`
      if (this.#trouble !== before) log.error({}, this.#trouble)
    }
  }

  /** Sends labels. @returns those that will never be taken. @throws where they may be taken later */
  async #refusals(items: readonly FeedbackItem[]): Promise<readonly FeedbackRefusal[]> {
    try {
      return (await this.#options.client.sendFeedback(items, this.#ended.signal)).refused
    } catch (error) {
      if (!isSlipwayError(error) || ![400, 413, 422].includes(error.kind.http)) throw error
      // One that will never be taken holds up no others: it is looked for by halves.
      if (items.length === 1) return [{ index: 0, message: error.message }]
      const half = Math.ceil(items.length / 2)
      const first = await this.#refusals(items.slice(0, half))
      const second = await this.#refusals(items.slice(half))
      return [...first, ...second.map(({ index, message }) => ({ index: index + half, message }))]
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    this.#cancel?.()
    await this.#sending
  }
}
