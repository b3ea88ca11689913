import { isSlipwayError, messageOf, SlipwayError } from '../../core/errors.ts'
import type { Issue } from '../../core/errors.ts'

/** The end of a pipe between two processes: `process` in a worker, a cluster `Worker` in the primary. */
export interface Pipe {
  send?(message: unknown, callback?: (error: Error | null) => void): boolean
  on(event: 'message', listener: (message: unknown) => void): unknown
}

interface WireFailure {
  readonly code: SlipwayError['code']
  readonly message: string
  readonly retryAfterMs: number | undefined
  readonly issues: readonly Issue[] | undefined
}

type Message =
  | { readonly slipway: 'call'; readonly id: number; readonly method: string; readonly argument: unknown }
  | { readonly slipway: 'answer'; readonly id: number; readonly value?: unknown; readonly failure?: WireFailure }

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: SlipwayError) => void
}

/** Calls between two processes, in both directions. */
export class Channel {
  readonly #pipe: Pipe
  readonly #waiting = new Map<number, Waiting>()
  readonly #handlers = new Map<string, (argument: never) => unknown>()
  #nextId = 1
  #closed = false

  constructor(pipe: Pipe) {
    this.#pipe = pipe
    pipe.on('message', (message) => this.#receive(message as Message))
  }

  /** Answers calls of the other side. */
  handle<A, R>(method: string, act: (argument: A) => R | Promise<R>): void {
    this.#handlers.set(method, act)
  }

  /**
   * @param limitMs time limit of the answer. Default: no limit
   * @throws what the other side threw; SLW_INSTANCE_FAILED when it has ended, or has not answered in time
   */
  call<R>(method: string, argument?: unknown, limitMs?: number): Promise<R> {
    if (this.#closed) return Promise.reject(ended())
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = limitMs === undefined ? undefined : setTimeout(() => this.#giveUp(id, method, limitMs), limitMs)
      this.#waiting.set(id, {
        resolve: (value) => {
          clearTimeout(timer)
          resolve(value as R)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
      this.#send({ slipway: 'call', id, method, argument })
    })
  }

  #giveUp(id: number, method: string, limitMs: number): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.reject(
      new SlipwayError('SLW_INSTANCE_FAILED', `a process of the server did not answer "${method}" within ${limitMs} ms`, {
        retryAfterMs: 1000,
      }),
    )
  }

  #send(message: Message): void {
    // A process that has just ended cannot be written to; its end is reported separately.
    this.#pipe.send?.(message, () => {})
  }

  #receive(message: Message): void {
    if (message.slipway === 'call') void this.#answer(message)
    else if (message.slipway === 'answer') {
      const waiting = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      const { failure, value } = message
      if (failure === undefined) waiting?.resolve(value)
      else waiting?.reject(fromWire(failure))
    }
  }

  async #answer({ id, method, argument }: Extract<Message, { slipway: 'call' }>): Promise<void> {
    try {
      const handler = this.#handlers.get(method)
      if (handler === undefined) throw new Error(`no such call: ${method}`)
      this.#send({ slipway: 'answer', id, value: await handler(argument as never) })
    } catch (error) {
      this.#send({ slipway: 'answer', id, failure: toWire(error) })
    }
  }

  /** The other side is gone: calls that wait for it fail. */
  close(): void {
    this.#closed = true
    for (const { reject } of this.#waiting.values()) reject(ended())
    this.#waiting.clear()
  }
}

function ended(): SlipwayError {
  return new SlipwayError('SLW_INSTANCE_FAILED', 'the process ended', { retryAfterMs: 1000 })
}

/** An error as it crosses between processes. */
export function toWire(error: unknown): WireFailure {
  return isSlipwayError(error)
    ? { code: error.code, message: error.message, retryAfterMs: error.retryAfterMs, issues: error.issues }
    : { code: 'SLW_INTERNAL', message: messageOf(error), retryAfterMs: undefined, issues: undefined }
}

export function fromWire({ code, message, retryAfterMs, issues }: WireFailure): SlipwayError {
  return new SlipwayError(code, message, { ...(retryAfterMs !== undefined && { retryAfterMs }), ...(issues !== undefined && { issues }) })
}

export type { WireFailure }
