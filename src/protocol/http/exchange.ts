import { SlipwayError, toSlipwayError } from '../../core/errors.ts'
import { decompress, isGzip } from './gzip.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { Caller } from '../../security/api-keys.ts'
import type { RequestContext } from '../../serving/context.ts'
import type { Subject } from '../../serving/observe/events.ts'
import type { WorkResult } from '../../serving/scheduler/scheduler.ts'
import type { Cors } from './cors.ts'
import type { HttpLimits } from './options.ts'

const JSON_TYPE = 'application/json'

/** What the doors need of the server behind an exchange. */
export interface ExchangeHost {
  readonly limits: HttpLimits
  /** Undefined: pages of other origins may not read answers. */
  readonly cors: Cors | undefined
  /** Answers tell the client to open another connection next time. */
  readonly closing: boolean
  finished(exchange: Exchange): void
}

export type ErrorBody = (error: SlipwayError, exchange: Exchange) => string

/** One HTTP request and its answer. */
export class Exchange {
  readonly request: IncomingMessage
  readonly requestId: string
  readonly predictionId: string
  readonly startedMs: number
  readonly #response: ServerResponse
  readonly #host: ExchangeHost
  /** The client waits for `100 Continue` before it sends the body. */
  readonly #expectsContinue: boolean
  #bodyRead = false
  #cancel: (() => void) | undefined
  #abandonBody: ((error: SlipwayError) => void) | undefined

  /** Filled in on the way, for the one observation at the end. */
  protocol = 'http'
  /** Whose API key it came with; undefined where no keys are set, and on open routes. */
  caller: Caller | undefined
  /** It asked for administration, and is told to whoever keeps the record of that. */
  administers = false
  /** Where a call of administration came from: an address, or the word for a Unix socket. Its socket may be gone when it is answered. */
  from: string | undefined
  /** What it wants changed, for that record. */
  wish: unknown
  subject: Subject | undefined
  context: RequestContext | undefined
  work: WorkResult | undefined
  rows = 0
  /** Monotonic milliseconds at which the body was there, and at which it had become tensors; 0 before. */
  receivedMs = 0
  preparedMs = 0
  status = 0
  error: SlipwayError | undefined
  /** How this dialect words an error. */
  errorBody: ErrorBody = fullError
  /** Requests for health, metrics and pages are not predictions and are not observed. */
  observed = false

  constructor(
    host: ExchangeHost,
    request: IncomingMessage,
    response: ServerResponse,
    given: { requestId: string; predictionId: string; startedMs: number; expectsContinue: boolean },
  ) {
    this.request = request
    this.#response = response
    this.#host = host
    this.requestId = given.requestId
    this.predictionId = given.predictionId
    this.startedMs = given.startedMs
    this.#expectsContinue = given.expectsContinue
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name]
    return Array.isArray(value) ? value[0] : value
  }

  /** Whether it came over TLS to this server. */
  get secure(): boolean {
    return (this.request.socket as Partial<TLSSocket>).encrypted === true
  }

  /** Calls back when the client goes away before its answer is complete. */
  onDisconnect(cancel: () => void): void {
    this.#cancel = cancel
    if (this.#response.closed) this.#disconnected()
  }

  /** The server tells when the response closes. */
  closed(): void {
    if (!this.#response.writableFinished) this.#disconnected()
  }

  #disconnected(): void {
    const abandon = this.#abandonBody
    this.#abandonBody = undefined
    abandon?.(new SlipwayError('SLW_CANCELLED', 'the client went away while it sent its request'))
    const cancel = this.#cancel
    this.#cancel = undefined
    cancel?.()
  }

  get answered(): boolean {
    return this.status !== 0
  }

  /** The whole body. @throws as `collectBody` */
  readBody(): Promise<Buffer> {
    return new Promise((resolve, reject) => this.collectBody((error, body) => (error === undefined ? resolve(body) : reject(error))))
  }

  /**
   * Takes the body in and calls back once.
   * @throws SLW_BODY_TOO_LARGE by Content-Length and SLW_UNSUPPORTED_MEDIA_TYPE by Content-Encoding, before anything is
   * read; to the callback, as soon as too much has come, also out of gzip
   */
  collectBody(done: (error: SlipwayError | undefined, body: Buffer) => void): void {
    const { request } = this
    const limit = this.#host.limits.bodyBytes
    const announced = request.headers['content-length']
    if (announced !== undefined && Number(announced) > limit) throw this.#tooLarge(Number(announced))
    const encoding = request.headers['content-encoding']
    const zipped = encoding !== undefined && this.#isZipped(encoding)
    if (this.#response.closed) {
      done(new SlipwayError('SLW_CANCELLED', 'the client went away before its request was read'), EMPTY)
      return
    }
    this.#bodyRead = true
    if (this.#expectsContinue) this.#response.writeContinue()
    this.#abandonBody = (error) => done(error, EMPTY)
    let first: Buffer | undefined
    let rest: Buffer[] | undefined
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) {
        this.#bodyRead = false
        this.#abandonBody = undefined
        request.removeAllListeners('data')
        request.removeAllListeners('end')
        done(this.#tooLarge(size), EMPTY)
      } else if (first === undefined) first = chunk
      else (rest ??= [first]).push(chunk)
    })
    request.on('end', () => {
      this.#abandonBody = undefined
      const body = rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest, size)
      if (zipped) decompress(body, limit, done)
      else done(undefined, body)
    })
  }

  /** @throws SLW_UNSUPPORTED_MEDIA_TYPE for what is neither gzip nor plain; the answer then says what is read (RFC 9110, section 12.5.3) */
  #isZipped(encoding: string): boolean {
    if (isGzip(encoding)) return true
    if (encoding.trim().toLowerCase() === 'identity') return false
    this.#response.setHeader('accept-encoding', 'gzip')
    throw new SlipwayError(
      'SLW_UNSUPPORTED_MEDIA_TYPE',
      `Content-Encoding "${encoding}" is not read; send the body as gzip, or uncompressed`,
    )
  }

  #tooLarge(size: number): SlipwayError {
    return new SlipwayError('SLW_BODY_TOO_LARGE', `the body has ${size} bytes or more, limits.bodyBytes is ${this.#host.limits.bodyBytes}`)
  }

  json(status: number, body: string, headers?: Record<string, string>): void {
    this.send(status, JSON_TYPE, body, headers)
  }

  send(status: number, type: string, body: string | Buffer, headers?: Record<string, string>): void {
    if (this.answered) return
    const response = this.#response
    const length = Buffer.byteLength(body)
    this.#writeHead(status, ['content-type', type, 'content-length', length, 'x-request-id', this.requestId], headers)
    if (this.request.method === 'HEAD') response.end()
    else if (length > PIECE_BYTES) endInPieces(response, typeof body === 'string' ? Buffer.from(body) : body)
    else response.end(body)
    this.#host.finished(this)
  }

  /** An answer that has no body at all, not even one of length 0: 204. */
  empty(status: number, headers?: Record<string, string>): void {
    if (this.answered) return
    this.#writeHead(status, ['x-request-id', this.requestId], headers)
    this.#response.end()
    this.#host.finished(this)
  }

  #writeHead(status: number, head: (string | number)[], headers: Record<string, string> | undefined): void {
    this.status = status
    if (headers !== undefined) for (const [name, value] of Object.entries(headers)) head.push(name, value)
    this.#host.cors?.addHeaders(head, this.header('origin'), headers)
    if (this.#host.closing) head.push('connection', 'close')
    if (!this.#bodyRead && this.#hasBody()) this.#discardBody(head)
    this.#response.writeHead(status, head as string[])
  }

  #hasBody(): boolean {
    const { headers } = this.request
    return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
  }

  /** An answer before the body was read: the rest is taken and thrown away, so that the client can read what we say. */
  #discardBody(head: (string | number)[]): void {
    const { request } = this
    if (this.#expectsContinue) {
      // It never sends the body, or sends it regardless: either way this connection cannot be trusted any more.
      head.push('connection', 'close')
      return
    }
    const limit = this.#host.limits.discardBytes
    let left = limit
    if (Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) > limit) head.push('connection', 'close')
    request.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left < 0) request.destroy()
    })
    request.on('error', () => {})
    request.resume()
  }

  /** Answers with what went wrong, in the shape of the dialect. */
  fail(thrown: unknown): void {
    if (this.answered) return
    const error = toSlipwayError(thrown)
    this.error = error
    const headers: Record<string, string> = {}
    if (error.retryAfterMs !== undefined) headers['retry-after'] = String(Math.ceil(error.retryAfterMs / 1000))
    if (error.code === 'SLW_UNAUTHENTICATED') headers['www-authenticate'] = 'Bearer realm="slipway"'
    if (this.#response.destroyed || this.#response.closed) {
      this.status = error.kind.http
      this.#host.finished(this)
      return
    }
    this.json(error.kind.http, this.errorBody(error, this), headers)
  }
}

const EMPTY = Buffer.alloc(0)
/** A large answer goes out in pieces of this size, so that a slow reader can be told from one that stopped. */
const PIECE_BYTES = 256 * 1024

function endInPieces(response: ServerResponse, body: Buffer): void {
  for (let start = 0; start < body.length; start += PIECE_BYTES) response.write(body.subarray(start, start + PIECE_BYTES))
  response.end()
}

/** The error of the Open Inference Protocol. */
export function protocolError(error: SlipwayError): string {
  return JSON.stringify({ error: error.message })
}

/** The error of our own dialects: the same key, and what programs need. */
export function fullError(error: SlipwayError, exchange: Exchange): string {
  return JSON.stringify({
    error: error.message,
    code: error.code,
    retryable: error.kind.retry,
    issues: error.issues,
    request_id: exchange.requestId,
  })
}
