import { UNREAD } from '../../contract/audience.ts'
import { SlipwayError } from '../../core/errors.ts'
import { priorityOf } from '../priority.ts'
import { requireModel, requireScope } from './access.ts'
import { cookieOf, fieldOf, fieldsOf, UNIT_MAX } from './facts.ts'
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
    const exchange = this.#exchange
    const { name, version } = this.#target()
    const { caller, requestId, predictionId } = exchange
    if (caller !== undefined) requireModel(caller, name)
    const forced = exchange.header('slipway-variant')
    const unit = exchange.header('slipway-unit')
    if (unit !== undefined && unit.length > UNIT_MAX)
      throw new SlipwayError('SLW_BAD_REQUEST', `header slipway-unit: ${unit.length} characters; a unit has up to ${UNIT_MAX}`)
    // Where keys are asked for, only that of a tester chooses.
    if (forced !== undefined && caller !== undefined) requireScope(caller, 'test')
    return {
      endpoint: name,
      version,
      unit: unit === '' ? undefined : unit,
      forced,
      givenId: requestId === predictionId ? undefined : requestId,
      facts: this,
      priority: priorityOf(exchange.header('slipway-priority'), 'header slipway-priority'),
      timeoutMs: timeoutOf(exchange.header('slipway-timeout-ms')),
    }
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

  /** Every answer says which variant it is of, and has the receipt of its prediction; the dialect names model and version in its own way. */
  #headers({ context: { decision }, subject, warnings, cache, receipt }: Answered, own?: Record<string, string>): Record<string, string> {
    const headers: Record<string, string> = {
      'slipway-variant': subject.variant,
      'slipway-prediction-id': receipt(),
    }
    if (decision.assigned !== subject.variant) headers['slipway-assigned'] = decision.assigned
    if (cache !== undefined) headers['slipway-cache'] = cache
    if (warnings.length > 0)
      headers['slipway-warnings'] = warnings
        .slice(0, 3)
        .join('; ')
        .replaceAll(/[^\x20-\x7e]/g, '?')
    return own === undefined ? headers : Object.assign(headers, own)
  }

  fail(error: SlipwayError): number {
    const words = this.#exchange.begun ? this.#conversation.stream?.error?.(error) : undefined
    if (words === undefined) this.#exchange.fail(error)
    else this.#exchange.endWith(error, words)
    return this.#exchange.status
  }
}

function timeoutOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = Number(header)
  if (header !== '' && ms > 0) return ms
  throw new SlipwayError('SLW_BAD_REQUEST', `header slipway-timeout-ms: expected milliseconds above 0, got "${header}"`)
}
