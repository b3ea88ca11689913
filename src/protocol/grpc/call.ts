import { SlipwayError, toSlipwayError } from '../../core/errors.ts'
import { encodeHeader, encodeHeaders } from '../http2/hpack.ts'
import { REASON } from '../http2/frames.ts'
import { decompress } from '../http/content-coding.ts'
import { ACCEPTED, compressMessage, isWorthCompressing, messageCoding } from './compression.ts'
import { timeoutOf } from './deadline.ts'
import { MessageReader } from './message-reader.ts'
import { encodeStatusMessage, statusOf } from './status.ts'
import type { AdminCall } from '../http/exchange.ts'
import type { RouteAccess } from '../http/routes.ts'
import type { KeyHolder } from '../../security/api-keys.ts'
import type { Stream, StreamTaker } from '../http2/stream.ts'
import type { Coding } from '../http/content-coding.ts'
import type { MessageLimit } from './message-reader.ts'

/** The parts of a server that calls use. */
export interface CallHost {
  readonly limits: { readonly bodyBytes: number; readonly bodyTimeoutMs: number }
  readonly nextId: () => string
  /** Calls back once after so many milliseconds. @returns a function that takes it back */
  readonly after: (ms: number, act: () => void) => () => void
  /** Called once for each call of administration that has been answered. */
  administered(call: Call): void
}

/** What the messages of a call with several of them go to. */
export interface MessageTaker {
  /** @returns whether the client may send more; otherwise `Call.resume` lets it later */
  message(message: Buffer): boolean
  /** The client has sent its last message. */
  end(): void
  /** The server shuts down: what has been accepted is answered, and the call ended. */
  drain(): void
}

/** A method of a service. */
export interface GrpcMethod {
  readonly name: string
  readonly access: RouteAccess
  /** Largest message that a client may send. Default: `limits.bodyBytes`. */
  readonly messageBytes?: number | undefined
  /** Answers a call with one message, which it answers or fails once. May throw. */
  readonly unary?: (call: Call, message: Buffer) => void | Promise<void>
  /** Takes a call with several messages. May throw. */
  readonly stream?: (call: Call) => MessageTaker
}

/** Metadata of an answer: names in lower case. */
export type Metadata = Readonly<Record<string, string>>

/** Characters that a request id from outside may have; another id is replaced. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/
/** Bytes of an answer in parts that wait for the client. */
const UNREAD_BYTES_MAX = 64 * 1024 * 1024
/** How much a client may send ahead of what a call with several messages takes. */
const AHEAD_BYTES = 65_535
/** Bytes of answers beyond which a call takes no further message until they have gone out. */
const BEHIND_BYTES = 256 * 1024

const HEAD = encodeHeaders([
  [':status', '200'],
  ['content-type', 'application/grpc'],
])
const COMPRESSIBLE_HEAD = HEAD + encodeHeader('grpc-accept-encoding', ACCEPTED)
const OK = encodeHeader('grpc-status', '0')

/** One call of a client, and its answer: one message or several, and a status. */
export class Call implements StreamTaker {
  readonly predictionId: string
  readonly requestId: string
  readonly startedMs: number
  /** Address of the client. */
  readonly from: string
  /** Calls are not told apart by their method: those of administration are asked for by name. */
  readonly changes = true
  readonly path: string
  readonly #stream: Stream
  readonly #host: CallHost
  #method: GrpcMethod | undefined
  #reader: MessageReader | undefined
  #coding: Coding | undefined
  /** The message of a call with one. */
  #message: Buffer | undefined
  #taker: MessageTaker | undefined
  /** Messages that are being decompressed, in their order. */
  #decompressing: Promise<void> | undefined
  /** Whether the taker has said no, and what has come all the same. */
  #paused = false
  readonly #held: Buffer[] = []
  #delivering = false
  #halfClosed = false
  #completed = false
  #cancels: Set<() => void> | undefined
  #caller: KeyHolder | undefined
  #adminCall: AdminCall | undefined
  #error: SlipwayError | undefined
  /** Whether headers have been sent, and whether the status has. */
  #begun = false
  #ended = false
  #gone = false
  /** Since when a message is incomplete. */
  #incompleteMs: number | undefined
  #stopDeadline: (() => void) | undefined

  constructor(host: CallHost, stream: Stream, { from, startedMs }: { readonly from: string; readonly startedMs: number }) {
    this.#host = host
    this.#stream = stream
    this.from = from
    this.startedMs = startedMs
    this.path = stream.header(':path') ?? ''
    this.predictionId = host.nextId()
    const given = stream.header('x-request-id')
    this.requestId = given !== undefined && REQUEST_ID.test(given) ? given : this.predictionId
    this.#incompleteMs = startedMs
  }

  /** Binds it to its method. @throws SLW_BAD_REQUEST, SLW_NOT_IMPLEMENTED for headers that are not understood */
  begin(method: GrpcMethod): void {
    this.#coding = messageCoding(this.header('grpc-encoding'))
    const limitMs = this.timeoutMs
    this.#method = method
    if (method.stream === undefined) return
    this.#incompleteMs = undefined
    if (limitMs !== undefined)
      this.#stopDeadline = this.#host.after(limitMs, () =>
        this.fail(new SlipwayError('SLW_DEADLINE_EXCEEDED', 'the call has taken longer than its grpc-timeout')),
      )
    this.#taker = method.stream(this)
  }

  /** A header of the request; names are in lower case. */
  header(name: string): string | undefined {
    return this.#stream.header(name)
  }

  /** Milliseconds that the client waits, from `startedMs`. @throws SLW_BAD_REQUEST */
  get timeoutMs(): number | undefined {
    return timeoutOf(this.header('grpc-timeout'))
  }

  get caller(): KeyHolder | undefined {
    return this.#caller
  }

  letIn(caller: KeyHolder): void {
    this.#caller = caller
  }

  get adminCall(): AdminCall | undefined {
    return this.#adminCall
  }

  administers(call: Partial<AdminCall>): void {
    this.#adminCall = { from: '', wish: undefined, ...this.#adminCall, ...call }
  }

  /** For the record of administration: as a request of HTTP. */
  get request(): { readonly method: string; readonly url: string } {
    return { method: 'POST', url: this.path }
  }

  /** Status of the answer, as in HTTP; 0 before. */
  get status(): number {
    if (!this.#ended) return 0
    return this.#error?.kind.http ?? 200
  }

  get error(): SlipwayError | undefined {
    return this.#error
  }

  get answered(): boolean {
    return this.#ended
  }

  data(bytes: Buffer): void {
    if (this.#ended) return
    try {
      const reader = (this.#reader ??= new MessageReader(this.#limit, (message, compressed) => this.#take(message, compressed)))
      const before = reader.missing
      reader.push(bytes)
      const { missing } = reader
      if (missing > 0) {
        if (before === 0) this.#incompleteMs ??= performance.now()
        // What a message still takes is let through at once: its memory is taken as it comes.
        this.#stream.allow(missing - this.#stream.room)
      } else if (this.#taker !== undefined) {
        this.#incompleteMs = undefined
        this.#allowAhead()
      }
    } catch (error) {
      this.fail(error)
    }
  }

  get #limit(): MessageLimit {
    const { bodyBytes } = this.#host.limits
    const { messageBytes = bodyBytes } = this.#method!
    return messageBytes < bodyBytes
      ? { bytes: messageBytes, name: `the limit of ${this.path}` }
      : { bytes: bodyBytes, name: 'limits.bodyBytes' }
  }

  #allowAhead(): void {
    if (this.#isBehind || this.#held.length > 0 || this.#decompressing !== undefined) return
    if (this.#stream.room < AHEAD_BYTES / 2) this.#stream.allow(AHEAD_BYTES - this.#stream.room)
  }

  /** Whether messages wait: for the taker, or for a client that has not read its answers. */
  get #isBehind(): boolean {
    return this.#paused || this.#stream.waiting > BEHIND_BYTES
  }

  #take(message: Buffer, compressed: boolean): void {
    if (!compressed && this.#decompressing === undefined) {
      this.#deliver(message)
      return
    }
    const before = this.#decompressing ?? Promise.resolve()
    const mine = before.then(
      () =>
        new Promise<void>((resolve) => {
          if (!compressed) {
            this.#deliver(message)
            resolve()
            return
          }
          this.#decompress(message, (error, plain) => {
            if (error === undefined) this.#deliver(plain)
            else this.fail(error)
            resolve()
          })
        }),
    )
    this.#decompressing = mine
    void mine.then(() => {
      if (this.#decompressing !== mine) return
      this.#decompressing = undefined
      this.#goOn()
    })
  }

  #decompress(message: Buffer, done: (error: SlipwayError | undefined, plain: Buffer) => void): void {
    const coding = this.#coding
    if (coding === undefined) done(new SlipwayError('SLW_BAD_REQUEST', 'a message is compressed, and no grpc-encoding says how'), message)
    else decompress(message, { coding, limit: this.#limit.bytes, said: 'grpc-encoding' }, done)
  }

  #deliver(message: Buffer): void {
    if (this.#ended) return
    try {
      if (this.#taker === undefined) {
        if (this.#message !== undefined) throw new SlipwayError('SLW_BAD_REQUEST', `${this.path} takes one message, a second one came`)
        this.#message = message
        return
      }
      this.#held.push(message)
      this.#takeHeld()
    } catch (error) {
      this.fail(error)
    }
  }

  /** Gives the taker what it takes. */
  #takeHeld(): void {
    if (this.#delivering) return
    this.#delivering = true
    try {
      while (this.#held.length > 0 && !this.#isBehind && !this.#ended) this.#paused = !this.#taker!.message(this.#held.shift()!)
    } finally {
      this.#delivering = false
    }
  }

  #goOn(): void {
    if (this.#ended || this.#delivering) return
    try {
      this.#takeHeld()
    } catch (error) {
      this.fail(error)
    }
    if (this.#held.length > 0) return
    if (!this.#halfClosed) this.#allowAhead()
    else if (this.#decompressing === undefined) this.#complete()
  }

  /** Lets the client send more, after a message for which the taker had said no. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#goOn()
  }

  drained(): void {
    if (this.#taker !== undefined) this.#goOn()
  }

  end(): void {
    if (this.#ended) return
    if ((this.#reader?.missing ?? 0) > 0) {
      this.fail(new SlipwayError('SLW_BAD_REQUEST', 'the call ends within a message'))
      return
    }
    this.#incompleteMs = undefined
    this.#halfClosed = true
    if (this.#decompressing === undefined && this.#held.length === 0) this.#complete()
  }

  /** The whole request has come. */
  #complete(): void {
    if (this.#ended || this.#completed) return
    this.#completed = true
    try {
      if (this.#taker !== undefined) {
        this.#taker.end()
        return
      }
      const message = this.#message
      if (message === undefined) throw new SlipwayError('SLW_BAD_REQUEST', `${this.path} takes one message, none came`)
      this.#message = undefined
      const handled = this.#method!.unary!(this, message)
      if (handled instanceof Promise) handled.catch((error: unknown) => this.fail(error))
    } catch (error) {
      this.fail(error)
    }
  }

  gone(): void {
    if (this.#ended || this.#gone) return
    this.#gone = true
    this.#stopDeadline?.()
    this.#cancel()
    // Nobody is told; for the record it has failed.
    if (this.#adminCall === undefined) return
    this.#error ??= new SlipwayError('SLW_CANCELLED', 'the client went away')
  }

  /** Calls back when the client goes away, or has taken its call back, before the answer is complete; at once where that is so already. */
  onGone(cancel: () => void): void {
    if (this.#gone || (this.#ended && this.#error !== undefined)) cancel()
    else (this.#cancels ??= new Set()).add(cancel)
  }

  offGone(cancel: () => void): void {
    this.#cancels?.delete(cancel)
  }

  /** The server shuts down: a call with several messages would go on for ever. */
  drain(): void {
    if (!this.#ended) this.#taker?.drain()
  }

  /** Looks whether a message takes too long to come. */
  sweep(nowMs: number): void {
    const { bodyTimeoutMs } = this.#host.limits
    if (this.#incompleteMs !== undefined && nowMs - this.#incompleteMs > bodyTimeoutMs)
      this.fail(new SlipwayError('SLW_REQUEST_TIMEOUT', 'the message did not arrive in time (limits.bodyTimeoutMs)'))
  }

  /**
   * The whole answer: one message, sealed, and the status OK. A message is compressed where that of the client was.
   * @returns the status as in HTTP
   */
  answer(message: Buffer, metadata?: Metadata): number | Promise<number> {
    if (this.#ended) return this.status
    const coding = this.#coding
    if (coding === undefined || !isWorthCompressing(message)) return this.#answer(message, metadata)
    return compressMessage(message, coding).then((compressed) => this.#answer(compressed, metadata))
  }

  #answer(message: Buffer, metadata: Metadata | undefined): number {
    if (this.#ended) return this.status
    this.#finish(undefined)
    this.#stream.answer(this.#head(metadata), message, OK)
    return 200
  }

  #head(metadata: Metadata | undefined): string {
    let head = this.#coding === undefined ? HEAD : COMPRESSIBLE_HEAD + encodeHeader('grpc-encoding', this.#coding)
    head += encodeHeader('x-request-id', this.requestId)
    if (metadata !== undefined) for (const name of Object.keys(metadata)) head += encodeHeader(name, metadata[name]!)
    return head
  }

  /** Sends one of messages that nobody has asked for one by one, sealed. A call whose client does not read them is broken off. */
  sendPart(message: Buffer): void {
    if (this.#ended || this.#gone) return
    if (this.#stream.waiting <= UNREAD_BYTES_MAX) {
      this.send(message)
      return
    }
    this.#finish(new SlipwayError('SLW_CANCELLED', 'the client does not read its answers'))
    this.#stream.cancel(REASON.cancel)
    this.#cancel()
  }

  /** Sends one message of an answer with several, sealed. */
  send(message: Buffer): void {
    if (this.#ended || this.#gone) return
    if (!this.#begun) {
      this.#begun = true
      this.#stream.head(this.#head(undefined))
    }
    this.#stream.write(message)
  }

  /** Ends an answer with several messages with the status OK. */
  close(): void {
    if (this.#ended) return
    if (!this.#begun) {
      this.#begun = true
      this.#stream.head(this.#head(undefined))
    }
    this.#finish(undefined)
    this.#stream.end(OK)
  }

  /** Ends the call with an error. @returns the status as in HTTP */
  fail(thrown: unknown): number {
    if (this.#ended) return this.status
    const error = toSlipwayError(thrown)
    this.#finish(error)
    let trailers = encodeHeader('grpc-status', String(statusOf(error))) + encodeHeader('grpc-message', encodeStatusMessage(error.message))
    trailers += encodeHeader('slipway-code', error.code)
    // How clients that retry are told when (gRPC, proposal A6).
    if (error.retryAfterMs !== undefined) trailers += encodeHeader('grpc-retry-pushback-ms', String(Math.ceil(error.retryAfterMs)))
    if (this.#begun) this.#stream.end(trailers)
    else this.#stream.endWithHead(COMPRESSIBLE_HEAD + encodeHeader('x-request-id', this.requestId) + trailers)
    this.#cancel()
    return error.kind.http
  }

  #cancel(): void {
    const cancels = this.#cancels
    this.#cancels = undefined
    if (cancels !== undefined) for (const cancel of cancels) cancel()
  }

  #finish(error: SlipwayError | undefined): void {
    this.#ended = true
    this.#error = error
    this.#stopDeadline?.()
    if (this.#adminCall !== undefined) this.#host.administered(this)
  }
}
