import { createServer } from 'node:http'
import findMyWay from 'find-my-way'
import { SlipwayError } from '../../core/errors.ts'
import { Exchange, protocolError } from './exchange.ts'
import type { AddressInfo, Socket } from 'node:net'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import type { Observer } from '../../serving/observe/events.ts'
import type { HttpLimits } from './options.ts'
import type { Params, Route } from './routes.ts'

export interface HttpServerOptions {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  readonly limits: HttpLimits
  readonly routes: readonly Route[]
  readonly clock: Clock
  readonly nextId: () => string
  readonly observer: Required<Observer>
}

/** Characters that a request id from outside may have; another id is replaced. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/
/** How often Node looks for clients that are too slow in sending. */
const TIMEOUT_CHECK_MS = 2000

/**
 * The HTTP door: sockets, limits, routing, one observation per prediction. On node:http itself and not on a framework:
 * measured here, a framework's own work per request is a fifth of the whole budget (docs/decisions).
 */
export class HttpServer {
  readonly #options: HttpServerOptions
  readonly #server: Server
  readonly #router: ReturnType<typeof findMyWay>
  #closing = false
  /** Bytes that had gone out on each connection when it was last looked at; -1 where nothing waited. */
  readonly #moved = new Map<Socket, number>()
  readonly #stallSweep: NodeJS.Timeout
  readonly limits: HttpLimits

  private constructor(options: HttpServerOptions) {
    const { limits } = options
    this.#options = options
    this.limits = limits
    this.#router = findMyWay({ ignoreTrailingSlash: true, maxParamLength: 500 })
    for (const route of options.routes) this.#router.on(route.method, route.path, noHandler, route.handle)
    this.#server = createServer({
      keepAliveTimeout: limits.keepAliveMs,
      requestTimeout: limits.bodyTimeoutMs,
      headersTimeout: limits.bodyTimeoutMs,
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, limits.bodyTimeoutMs),
      maxHeaderSize: limits.headerBytes,
      noDelay: true,
    })
    this.#server.maxConnections = limits.connections
    this.#server.on('connection', (socket: Socket) => this.#watch(socket))
    this.#stallSweep = setInterval(() => this.#endStalled(), limits.stallMs)
    this.#stallSweep.unref()
    this.#server.on('request', (request, response) => this.#handle(request, response, false))
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => this.#handle(request, response, true))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseSocket(error, socket))
  }

  /** @throws what listen says: EADDRINUSE and the like */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const door = new HttpServer(options)
    await new Promise<void>((resolve, reject) => {
      door.#server.once('error', reject)
      door.#server.listen({ host: options.host, port: options.port, backlog: 1024 }, () => {
        door.#server.off('error', reject)
        resolve()
      })
    })
    return door
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    const host = this.#options.host.includes(':') ? `[${this.#options.host}]` : this.#options.host
    return `http://${host}:${this.port}`
  }

  #handle(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const { clock, nextId } = this.#options
    const given = request.headers['x-request-id']
    const predictionId = nextId()
    const requestId = typeof given === 'string' && REQUEST_ID.test(given) ? given : predictionId
    const exchange = new Exchange(this, request, response, { requestId, predictionId, startedMs: clock.monotonicMs(), expectsContinue })
    response.once('close', () => exchange.closed())
    const target = request.url ?? '/'
    const query = target.indexOf('?')
    const path = query < 0 ? target : target.slice(0, query)
    if (path.startsWith('/v2')) exchange.errorBody = protocolError
    try {
      // The handler of the router is a stand-in: what is wanted is stored beside it.
      const found = this.#router.find(request.method === 'HEAD' ? 'GET' : (request.method as 'GET'), path)
      if (found === null) throw this.#notFound(request.method ?? '', path, response)
      const handled = (found.store as Route['handle'])(exchange, found.params as Params)
      if (handled instanceof Promise) handled.catch((error: unknown) => exchange.fail(error))
    } catch (error) {
      exchange.fail(error)
    }
  }

  #notFound(method: string, path: string, response: ServerResponse): SlipwayError {
    const allowed = (['GET', 'POST'] as const).filter((candidate) => this.#router.find(candidate, path) !== null)
    if (allowed.length === 0) return new SlipwayError('SLW_ROUTE_NOT_FOUND', `no route ${method} ${path}; see /docs`)
    response.setHeader('allow', allowed.join(', '))
    return new SlipwayError('SLW_METHOD_NOT_ALLOWED', `${path} does not take ${method}; it takes ${allowed.join(', ')}`)
  }

  #watch(socket: Socket): void {
    this.#moved.set(socket, -1)
    socket.once('close', () => this.#moved.delete(socket))
  }

  /**
   * Ends connections on which an answer waits and nothing of it has gone out for `stallMs`: a reader that stopped reading,
   * whatever else it sends. A timer per socket would be re-armed at every read and write, which costs more than everything
   * else we do for a small request.
   */
  #endStalled(): void {
    for (const [socket, before] of this.#moved) {
      const waiting = socket.writableLength
      const gone = socket.bytesWritten - waiting
      if (waiting > 0 && gone === before) socket.destroy()
      else this.#moved.set(socket, waiting > 0 ? gone : -1)
    }
  }

  /** Decided when answering, as a request may have come before the server began to close. */
  get closing(): boolean {
    return this.#closing
  }

  /** Called once by each exchange that has been answered. */
  finished(exchange: Exchange): void {
    if (!exchange.observed) return
    const { work, error, startedMs, receivedMs, preparedMs } = exchange
    this.#options.observer.request({
      requestId: exchange.requestId,
      predictionId: exchange.predictionId,
      protocol: exchange.protocol,
      subject: exchange.subject,
      status: exchange.status,
      errorCode: error?.code,
      errorMessage: error?.message,
      startedMs,
      durationMs: this.#options.clock.monotonicMs() - startedMs,
      receiveMs: Math.max(0, receivedMs - startedMs),
      prepareMs: Math.max(0, preparedMs - receivedMs),
      queueMs: work?.queueMs ?? 0,
      batchWaitMs: work?.batchWaitMs ?? 0,
      computeMs: work?.computeMs ?? 0,
      rows: exchange.rows,
      // Not of the context: a request that found no model has none, and has its place in the caller's trace all the same.
      traceparent: exchange.header('traceparent'),
    })
  }

  /** From here on answers tell clients to open another connection next time. */
  announceClose(): void {
    this.#closing = true
  }

  /** Stops listening and ends idle connections; resolves when the last one is closed. Closing twice is fine. */
  async close(): Promise<void> {
    this.#closing = true
    clearInterval(this.#stallSweep)
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    await closed
  }

  /** Ends every connection, whatever goes on. */
  abort(): void {
    this.#server.closeAllConnections()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort()
    await this.close()
  }
}

function noHandler(): void {}

const SOCKET_ERRORS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request did not arrive in time (limits.bodyTimeoutMs)'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the header is larger than limits.headerBytes'],
}

/** What is not HTTP gets one readable answer, and the connection ends. */
function refuseSocket(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, message] = SOCKET_ERRORS[error.code ?? ''] ?? ['400 Bad Request', 'the request is not valid HTTP']
  const body = JSON.stringify({ error: message })
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}
