import { SlipwayError, toSlipwayError } from '../../core/errors.ts'
import { Collected } from '../bodies/collected.ts'
import { CODINGS, codingOf, decompress } from './content-coding.ts'
import { ownError } from './error-form.ts'
import { queryOf } from './facts.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { KeyHolder } from '../../security/api-keys.ts'
import type { Coding } from './content-coding.ts'
import type { Cors } from './cors.ts'
import type { ErrorForm } from './error-form.ts'
import type { HttpLimits } from './options.ts'

const JSON_TYPE = 'application/json'

/** The parts of a server that an exchange needs. */
export interface ExchangeHost {
  readonly limits: HttpLimits
  /** Undefined: pages of other origins may not read answers. */
  readonly cors: Cors | undefined
  /** Whether answers tell the client to open another connection next time. */
  readonly closing: boolean
  /** Called once for each call of administration that has been answered. */
  administered(exchange: Exchange): void
}

/** A call of administration, for the audit log. */
export interface AdminCall {
  /** Address of the client, or the word for a Unix socket. Kept here, as the socket may be gone when the call is answered. */
  readonly from: string
  /** The change that was asked for, once it has been read. */
  readonly wish: unknown
}

/** Limit of the bytes of an answer in parts that wait for the client. */
const UNREAD_BYTES_MAX = 64 * 1024 * 1024

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

  #caller: KeyHolder | undefined
  #adminCall: AdminCall | undefined
  #errorForm: ErrorForm = ownError
  #status = 0
  #error: SlipwayError | undefined
  /** Whether the head of an answer in parts has been sent, and its end has not. */
  #begun = false

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

  /** Holder of the API key of the request; undefined where no keys are set, and on open routes. */
  get caller(): KeyHolder | undefined {
    return this.#caller
  }

  /** Sets the holder of the key that the request has shown. */
  letIn(caller: KeyHolder): void {
    this.#caller = caller
  }

  /** Undefined where the request asks for no administration. */
  get adminCall(): AdminCall | undefined {
    return this.#adminCall
  }

  /** Marks the request as a call of administration, which `ExchangeHost.administered` gets once it is answered. */
  administers(call: Partial<AdminCall>): void {
    this.#adminCall = { from: '', wish: undefined, ...this.#adminCall, ...call }
  }

  /** Sets the form of errors from here on. */
  speaks(form: ErrorForm): void {
    this.#errorForm = form
  }

  /** Status of the answer; 0 before. */
  get status(): number {
    return this.#status
  }

  /** The error with which the request failed. */
  get error(): SlipwayError | undefined {
    return this.#error
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name]
    return Array.isArray(value) ? value[0] : value
  }

  /** Address of the client, or the word for a Unix socket. */
  get from(): string {
    return this.request.socket.remoteAddress ?? 'Unix socket'
  }

  get changes(): boolean {
    return this.request.method !== 'GET' && this.request.method !== 'HEAD'
  }

  /** A parameter of the address; of two with one name, the first. */
  query(name: string): string | undefined {
    return queryOf(this.request.url, name)
  }

  /** Whether the request came over TLS to this server. */
  get secure(): boolean {
    return (this.request.socket as Partial<TLSSocket>).encrypted === true
  }

  /** Calls back when the client goes away before its answer is complete. */
  onDisconnect(cancel: () => void): void {
    this.#cancel = cancel
    if (this.#response.closed) this.#disconnected()
  }

  /** Called by the server when the response closes. */
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
    return this.#status !== 0
  }

  /** The whole body. @throws as `collectBody` */
  readBody(): Promise<Buffer> {
    return new Promise((resolve, reject) => this.collectBody((error, body) => (error === undefined ? resolve(body) : reject(error))))
  }

  /**
   * Takes the body in and calls back once.
   * @throws SLW_BODY_TOO_LARGE by Content-Length and SLW_UNSUPPORTED_MEDIA_TYPE by Content-Encoding, before anything is
   * read; to the callback, as soon as too much has come, also out of what is compressed
   */
  collectBody(done: (error: SlipwayError | undefined, body: Buffer) => void): void {
    const { request } = this
    const limit = this.#host.limits.bodyBytes
    const announced = request.headers['content-length']
    if (announced !== undefined && Number(announced) > limit) throw this.#tooLarge(Number(announced))
    const encoding = request.headers['content-encoding']
    const coding = encoding === undefined ? 'identity' : this.#codingOf(encoding)
    if (this.#response.closed) {
      done(new SlipwayError('SLW_CANCELLED', 'the client went away before its request was read'), EMPTY)
      return
    }
    this.#bodyRead = true
    if (this.#expectsContinue) this.#response.writeContinue()
    this.#abandonBody = (error) => done(error, EMPTY)
    const collected = new Collected(limit)
    const giveUp = (error: SlipwayError): void => {
      this.#bodyRead = false
      this.#abandonBody = undefined
      request.removeAllListeners('data')
      request.removeAllListeners('end')
      done(error, EMPTY)
    }
    request.on('data', (chunk: Buffer) => {
      if (collected.size + chunk.length > limit) {
        giveUp(this.#tooLarge(collected.size + chunk.length))
        return
      }
      try {
        collected.add(chunk)
      } catch {
        giveUp(new SlipwayError('SLW_QUEUE_FULL', 'there is no memory left for the body', { retryAfterMs: 1000 }))
      }
    })
    request.on('end', () => {
      this.#abandonBody = undefined
      const body = collected.whole()
      if (coding === 'identity') done(undefined, body)
      else decompress(body, { coding, limit }, done)
    })
  }

  /** @throws SLW_UNSUPPORTED_MEDIA_TYPE for a coding that is not read; the answer then says what is (RFC 9110, section 12.5.3) */
  #codingOf(encoding: string): Coding | 'identity' {
    const coding = codingOf(encoding)
    if (coding !== undefined) return coding
    this.#response.setHeader('accept-encoding', CODINGS)
    throw new SlipwayError(
      'SLW_UNSUPPORTED_MEDIA_TYPE',
      `Content-Encoding "${encoding}" is not read; send the body as gzip or deflate, or uncompressed`,
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
    this.#finished()
  }

  /** An answer that has no body at all, not even one of length 0: 204. */
  empty(status: number, headers?: Record<string, string>): void {
    if (this.answered) return
    this.#writeHead(status, ['x-request-id', this.requestId], headers)
    this.#response.end()
    this.#finished()
  }

  /** Begins an answer that comes in parts. A second call changes nothing. */
  begin(status: number, type: string, headers?: Record<string, string>): void {
    if (this.answered) return
    this.#begun = true
    this.#writeHead(status, ['content-type', type, 'x-request-id', this.requestId], headers)
    this.#response.flushHeaders()
  }

  /** Whether parts may follow. */
  get begun(): boolean {
    return this.#begun
  }

  /** Sends one part. A client that does not read is disconnected, so that what waits for it has a limit. */
  write(part: string | Buffer): void {
    const response = this.#response
    if (!this.#begun || response.destroyed) return
    if (response.writableLength > UNREAD_BYTES_MAX) response.destroy()
    else response.write(part)
  }

  /** Ends an answer in parts. */
  end(last?: string): void {
    if (!this.#begun) return
    this.#begun = false
    if (last === undefined) this.#response.end()
    else this.#response.end(last)
    this.#finished()
  }

  #finished(): void {
    if (this.#adminCall !== undefined) this.#host.administered(this)
  }

  #writeHead(status: number, head: (string | number)[], headers: Record<string, string> | undefined): void {
    this.#status = status
    if (headers !== undefined) for (const name of Object.keys(headers)) head.push(name, headers[name]!)
    this.#host.cors?.addHeaders(head, this.header('origin'), headers)
    if (this.#host.closing) head.push('connection', 'close')
    if (!this.#bodyRead && this.#hasBody()) this.#discardBody(head)
    this.#response.writeHead(status, head as string[])
  }

  #hasBody(): boolean {
    const { headers } = this.request
    return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
  }

  /** The answer comes before the body was read: the rest of the body is discarded, so that the client can read the answer. */
  #discardBody(head: (string | number)[]): void {
    const { request } = this
    if (this.#expectsContinue) {
      // The client never sends the body, or sends it regardless: either way this connection cannot be trusted any more.
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

  /** Ends an answer in parts with an error, in words that its clients read; the status was sent before. */
  endWith(thrown: SlipwayError, words: string): void {
    if (!this.#begun) return
    this.#error = thrown
    this.#status = thrown.kind.http
    this.#begun = false
    this.#response.end(words)
    this.#finished()
  }

  /** Answers with an error, in the form of the dialect. An answer in parts breaks off, so that no client takes it for complete. */
  fail(thrown: unknown): void {
    if (this.#begun) {
      this.#begun = false
      this.#error = toSlipwayError(thrown)
      this.#status = this.#error.kind.http
      this.#response.destroy()
      this.#finished()
      return
    }
    if (this.answered) return
    const error = toSlipwayError(thrown)
    this.#error = error
    const { status, type, body, headers: own } = this.#errorForm(error, this.requestId)
    if (this.#response.destroyed || this.#response.closed) {
      this.#status = status
      this.#finished()
      return
    }
    const headers: Record<string, string> = {}
    if (error.retryAfterMs !== undefined) headers['retry-after'] = String(Math.ceil(error.retryAfterMs / 1000))
    if (error.code === 'SLW_UNAUTHENTICATED') headers['www-authenticate'] = 'Bearer realm="slipway"'
    this.send(status, type, body, { ...headers, ...own })
  }
}

const EMPTY = Buffer.alloc(0)
/** A large answer goes out in pieces of this size, so that a slow reader can be distinguished from one that stopped. */
const PIECE_BYTES = 256 * 1024

function endInPieces(response: ServerResponse, body: Buffer): void {
  for (let start = 0; start < body.length; start += PIECE_BYTES) response.write(body.subarray(start, start + PIECE_BYTES))
  response.end()
}
