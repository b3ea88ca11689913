import { UNREAD } from '../../contract/audience.ts'
import { answerHeaders } from '../answer-headers.ts'
import { termsOf } from '../terms.ts'
import { cookieOf, fieldOf, fieldsOf } from './facts.ts'
import type { SlipwayError } from '../../core/errors.ts'
import type { Facts } from '../../contract/audience.ts'
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
export class HttpCaller implements Caller<Buffer>, Facts {
  readonly protocol: string
  readonly requestId: string
  readonly predictionId: string
  readonly startedMs: number
  readonly part: ((part: Answered) => void) | undefined
  readonly #exchange: Exchange
  readonly #target: () => ModelAddress
  readonly #conversation: Conversation
  /** Undefined until it has been read. */
  #body: Buffer | undefined
  /** The body as JSON, once one of its fields was asked for. */
  #fields: { readonly root: unknown } | undefined

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
    const { caller, requestId, predictionId } = this.#exchange
    return termsOf(this, this.#target(), { caller, requestId, predictionId })
  }

  header(name: string): string | undefined {
    return this.#exchange.header(name)
  }

  cookie(name: string): string | undefined {
    return cookieOf(this.#exchange.header('cookie'), name)
  }

  query(name: string): string | undefined {
    return this.#exchange.query(name)
  }

  field(path: string): string | undefined | typeof UNREAD {
    if (this.#body === undefined) return UNREAD
    this.#fields ??= { root: fieldsOf(this.#body) }
    return fieldOf(this.#fields.root, path)
  }

  collect(done: (error: SlipwayError | undefined, body: Buffer) => void): void {
    this.#exchange.collectBody((error, body) => {
      this.#body = body
      done(error, body)
    })
  }

  prepare(body: Buffer, loaded: Loaded): Prepared | Promise<Prepared> {
    return this.#conversation.prepare(body, loaded)
  }

  onGone(cancel: () => void): void {
    this.#exchange.onDisconnect(cancel)
  }

  #part(part: Answered): void {
    const stream = this.#conversation.stream!
    this.#exchange.begin(200, stream.type, answerHeaders(part))
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
    this.#exchange.send(200, type, body, answerHeaders(answered, headers))
    return this.#exchange.status
  }

  fail(error: SlipwayError): number {
    const words = this.#exchange.begun ? this.#conversation.stream?.error?.(error) : undefined
    if (words === undefined) this.#exchange.fail(error)
    else this.#exchange.endWith(error, words)
    return this.#exchange.status
  }
}
