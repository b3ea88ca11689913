import { SlipwayError } from '../../core/errors.ts'
import { priorityOf } from '../priority.ts'
import { requireModel } from './access.ts'
import type { Answered, Caller, Prepared, Terms } from '../../serving/caller.ts'
import type { Loaded } from '../../serving/variant.ts'
import type { Answer, Conversation, ModelAddress } from './dialects/dialect.ts'
import type { Exchange } from './exchange.ts'

export interface HttpCallerOptions {
  readonly exchange: Exchange
  /** Name of the dialect. */
  readonly protocol: string
  /** The model that the request is for. @throws what of the address cannot be understood */
  readonly target: () => ModelAddress
  readonly conversation: Conversation
}

/** An exchange as a caller: its terms come from its headers, its tensors and answers from its dialect. */
export class HttpCaller implements Caller<Buffer> {
  readonly protocol: string
  readonly requestId: string
  readonly predictionId: string
  readonly startedMs: number
  readonly part: ((part: Answered) => void) | undefined
  readonly #exchange: Exchange
  readonly #target: () => ModelAddress
  readonly #conversation: Conversation

  constructor({ exchange, protocol, target, conversation }: HttpCallerOptions) {
    this.protocol = protocol
    this.requestId = exchange.requestId
    this.predictionId = exchange.predictionId
    this.startedMs = exchange.startedMs
    this.#exchange = exchange
    this.#target = target
    this.#conversation = conversation
    this.part = conversation.stream === undefined ? undefined : (part) => this.#part(part)
  }

  /** Read for a request that finds no model, too: it also belongs to the client's trace. */
  get traceparent(): string | undefined {
    return this.#exchange.header('traceparent')
  }

  get keyName(): string | undefined {
    return this.#exchange.caller?.name
  }

  terms(): Terms {
    const exchange = this.#exchange
    const { name, version } = this.#target()
    if (exchange.caller !== undefined) requireModel(exchange.caller, name)
    return {
      endpoint: name,
      version,
      unit: exchange.header('slipway-unit'),
      priority: priorityOf(exchange.header('slipway-priority'), 'header slipway-priority'),
      timeoutMs: timeoutOf(exchange.header('slipway-timeout-ms')),
    }
  }

  collect(done: (error: SlipwayError | undefined, body: Buffer) => void): void {
    this.#exchange.collectBody(done)
  }

  prepare(body: Buffer, loaded: Loaded): Prepared | Promise<Prepared> {
    return this.#conversation.prepare(body, loaded)
  }

  onGone(cancel: () => void): void {
    this.#exchange.onDisconnect(cancel)
  }

  #part(part: Answered): void {
    const stream = this.#conversation.stream!
    this.#exchange.begin(200, stream.type, this.#headers(part))
    this.#exchange.write(stream.part(part))
  }

  answer(answered: Answered): number | Promise<number> {
    const exchange = this.#exchange
    if (exchange.begun) {
      exchange.end(this.#conversation.stream?.end?.(answered))
      return exchange.status
    }
    const answer = this.#conversation.answer(answered)
    return answer instanceof Promise ? answer.then((later) => this.#send(answered, later)) : this.#send(answered, answer)
  }

  #send(answered: Answered, { type, body, headers }: Answer): number {
    this.#exchange.send(200, type, body, this.#headers(answered, headers))
    return this.#exchange.status
  }

  #headers({ warnings, cache }: Answered, own?: Record<string, string>): Record<string, string> | undefined {
    if (warnings.length === 0 && cache === undefined) return own
    const headers: Record<string, string> = {}
    if (cache !== undefined) headers['slipway-cache'] = cache
    if (warnings.length > 0)
      headers['slipway-warnings'] = warnings
        .slice(0, 3)
        .join('; ')
        .replaceAll(/[^\x20-\x7e]/g, '?')
    return own === undefined ? headers : Object.assign(headers, own)
  }

  fail(error: SlipwayError): number {
    this.#exchange.fail(error)
    return this.#exchange.status
  }
}

function timeoutOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = Number(header)
  if (header !== '' && ms > 0) return ms
  throw new SlipwayError('SLW_BAD_REQUEST', `header slipway-timeout-ms: expected milliseconds above 0, got "${header}"`)
}
