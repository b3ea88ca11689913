import { originOf } from '../../core/origin.ts'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { chmod } from 'node:fs/promises'
import { Handshakes, lastWords } from '../../core/sockets.ts'
import { StalledSockets } from '../../core/stalled-sockets.ts'
import { HostCheck, isLoopback } from '../../security/host-check.ts'
import { HalfClosedClients } from './half-closed.ts'
import { isHttp2, refuseHttp2 } from './http2-preface.ts'
import { RouteTable } from './routes.ts'
import { clearSocketPath, SOCKET_MODE } from './unix-socket.ts'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { ErrorForm } from './error-form.ts'
import type { HttpLimits } from './options.ts'
import type { Route } from './routes.ts'

/** The certificate of a listener, and notice of its replacement. */
export interface TlsSource {
  readonly context: SecureContextOptions
  /** Whether clients need a certificate too. */
  readonly mutual: boolean
  onChange(listener: (context: SecureContextOptions) => void): void
}

/** One address to listen on, and its routes. */
export interface ListenerOptions {
  /**
   * A port of a host (0 takes any free one), or the path of a Unix socket. `held`: the socket there, which another process of this server
   * has bound and keeps.
   */
  readonly address: ({ readonly host: string; readonly port: number } | { readonly socket: string }) & { readonly held?: unknown }
  readonly routes: readonly Route[]
  /** Form of errors at paths that no route takes, and that are no dialect's. Default: that of Slipway's own dialects. */
  readonly error?: ErrorForm | undefined
  readonly tls?: TlsSource | undefined
  /** Names that a listener on loopback answers to, beside those of this machine. */
  readonly allowedHosts?: readonly string[]
}

export type HandleRequest = (listener: Listener, request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => void

/** Pause between two looks of Node for clients that are too slow in sending. */
const TIMEOUT_CHECK_MS = 2000

/** Connections that may wait to be accepted. */
const BACKLOG = 1024

/** One open address: its sockets, and the limits of each. Several listeners share one server, each with routes of its own. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #stalled = new StalledSockets()
  readonly #handshakes = new Handshakes()
  readonly #halfClosed = new HalfClosedClients()
  readonly #stallSweep: NodeJS.Timeout
  readonly routes: RouteTable
  readonly error: ErrorForm | undefined
  /** Undefined where the Host header does not matter: beyond loopback, and on Unix sockets, which no browser reaches. */
  readonly hosts: HostCheck | undefined

  private constructor(options: ListenerOptions, limits: HttpLimits, handle: HandleRequest) {
    const { address, tls } = options
    this.#options = options
    this.routes = new RouteTable(options.routes)
    this.error = options.error
    this.hosts = 'host' in address && isLoopback(address.host) ? new HostCheck(options.allowedHosts ?? []) : undefined
    this.#server = createFor(tls, limits)
    this.#server.maxConnections = limits.connections
    this.#halfClosed.allow(this.#server)
    const answer = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
      this.#halfClosed.answering(request, response)
      handle(this, request, response, expectsContinue)
    }
    if (tls === undefined) this.#server.on('connection', (socket: Socket) => this.#watch(socket))
    else {
      this.#server.on('connection', (socket: Socket) => this.#handshakes.begin(socket))
      this.#server.on('secureConnection', (socket: Socket) => {
        this.#handshakes.done(socket)
        this.#watch(socket)
      })
    }
    this.#server.on('request', (request, response) => answer(request, response, false))
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => answer(request, response, true))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseSocket(error, socket))
    this.#stallSweep = setInterval(() => this.#stalled.sweep(), limits.stallMs)
    this.#stallSweep.unref()
  }

  /** @throws what listen says: EADDRINUSE and the like; of a Unix socket what `clearSocketPath` says */
  static async open(options: ListenerOptions, limits: HttpLimits, handle: HandleRequest): Promise<Listener> {
    const { address } = options
    if ('socket' in address && address.held === undefined) await clearSocketPath(address.socket)
    const listener = new Listener(options, limits, handle)
    try {
      await listener.#listen()
    } catch (error) {
      await listener.close()
      throw error
    }
    return listener
  }

  async #listen(): Promise<void> {
    const { address } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject)
    const { held } = address
    if (held !== undefined) this.#server.listen(held, BACKLOG, resolve)
    else if ('socket' in address) this.#server.listen({ path: address.socket, backlog: BACKLOG }, resolve)
    else this.#server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, resolve)
    await promise
    this.#server.off('error', reject)
    if ('socket' in address && held === undefined) await chmod(address.socket, SOCKET_MODE)
  }

  /** Undefined on a Unix socket. */
  get port(): number | undefined {
    return 'socket' in this.#options.address ? undefined : (this.#server.address() as AddressInfo).port
  }

  /** Undefined on a Unix socket. */
  get url(): string | undefined {
    const { address, tls } = this.#options
    const { port } = this
    if ('socket' in address || port === undefined) return undefined
    return originOf({ secure: tls !== undefined, host: address.host, port })
  }

  #watch(socket: Socket): void {
    this.#stalled.watch(socket)
    this.#halfClosed.watch(socket)
  }

  /** Stops listening and ends idle connections; resolves when the last one is closed. Closing twice is fine. */
  async close(): Promise<void> {
    clearInterval(this.#stallSweep)
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    this.#handshakes.end()
    await closed
  }

  /** Ends every connection, busy ones too. */
  abort(): void {
    this.#server.closeAllConnections()
    this.#handshakes.end()
  }
}

function createFor(tls: TlsSource | undefined, limits: HttpLimits): Server {
  const options = {
    keepAliveTimeout: limits.keepAliveMs,
    requestTimeout: limits.bodyTimeoutMs,
    headersTimeout: limits.bodyTimeoutMs,
    connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, limits.bodyTimeoutMs),
    maxHeaderSize: limits.headerBytes,
    noDelay: true,
  }
  if (tls === undefined) return createServer(options)
  const server = createTlsServer({
    ...options,
    ...tls.context,
    allowHalfOpen: true,
    handshakeTimeout: limits.bodyTimeoutMs,
    requestCert: tls.mutual,
    rejectUnauthorized: tls.mutual,
  })
  tls.onChange((context) => server.setSecureContext(context))
  return server
}

/** Time for a client to read why its connection ends. */
const LEAVE_MS = 1000

const SOCKET_ERRORS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request did not arrive in time (limits.bodyTimeoutMs)'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the header is larger than limits.headerBytes'],
}

/** Gives a request that Node could not take one readable answer, and ends the connection. */
function refuseSocket(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  // A client may keep its side open all the same; its request must not keep a place in a queue by that.
  setTimeout(() => socket.destroy(), LEAVE_MS).unref()
  if (isHttp2((error as { rawPacket?: Uint8Array }).rawPacket)) {
    refuseHttp2(socket)
    return
  }
  const [status, message] = SOCKET_ERRORS[error.code ?? ''] ?? ['400 Bad Request', 'the request is not valid HTTP']
  socket.end(lastWords(status, message))
}
