/** The door for gRPC: its sockets, their limits, and which method a call is for. On HTTP/2 of our own (docs/decisions/0028). */
import { createServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { SlipwayError } from '../../core/errors.ts'
import { Handshakes, lastWords } from '../../core/sockets.ts'
import { StalledSockets } from '../../core/stalled-sockets.ts'
import { requireAccess } from '../http/access.ts'
import { Connection } from '../http2/connection.ts'
import { encodeHeaders } from '../http2/hpack.ts'
import { Call } from './call.ts'
import { methodsByPath } from './methods.ts'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { AccessOptions } from '../http/access.ts'
import type { TlsSource } from '../http/listener.ts'
import type { HttpLimits } from '../http/options.ts'
import type { Stream } from '../http2/stream.ts'
import type { CallHost, GrpcMethod } from './call.ts'
import type { GrpcService } from './methods.ts'

export interface GrpcServerOptions {
  /** A port of a host (0 takes any free one). `held`: the socket there, which another process of this server has bound and keeps. */
  readonly address: { readonly host: string; readonly port: number; readonly held?: unknown }
  readonly tls: TlsSource | undefined
  readonly access: AccessOptions
  readonly limits: HttpLimits
  readonly clock: Clock
  readonly log: Logger
  readonly nextId: () => string
  readonly services: readonly GrpcService[]
  /** Called for every call of administration, also for refused ones. */
  readonly audit?: (call: Call) => void
}

/** Streams that one connection may have at a time. */
const STREAMS_MAX = 1000
/** Pause between two looks at all connections. */
const SWEEP_MS = 2000
/** Connections that may wait to be accepted. */
const BACKLOG = 1024
/** Time for a client to read why its connection ends. */
const LEAVE_MS = 1000

const NOT_GRPC = encodeHeaders([
  [':status', '415'],
  ['content-type', 'text/plain'],
])

/** Messages of protobuf; other formats, and that of browsers, are another protocol. */
const GRPC_TYPE = /^application\/grpc(?:\+proto)?[ \t]*(?:;|$)/i

export class GrpcServer implements AsyncDisposable {
  readonly #options: GrpcServerOptions
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #stalled = new StalledSockets()
  readonly #handshakes = new Handshakes()
  readonly #methods: ReadonlyMap<string, GrpcMethod>
  readonly #callHost: CallHost
  readonly #sweeps: readonly NodeJS.Timeout[]
  #closing = false

  private constructor(options: GrpcServerOptions) {
    this.#options = options
    const { limits, clock, nextId, audit, tls } = options
    this.#methods = methodsByPath(options.services)
    this.#callHost = {
      limits,
      nextId,
      after: (ms, act) => clock.after(ms, act),
      administered: (call) => audit?.(call),
    }
    this.#server = this.#create(tls)
    this.#server.maxConnections = limits.connections
    this.#sweeps = [
      setInterval(() => this.#sweep(), Math.min(SWEEP_MS, limits.bodyTimeoutMs)).unref(),
      setInterval(() => this.#stalled.sweep(), limits.stallMs).unref(),
    ]
  }

  #create(tls: TlsSource | undefined): Server {
    if (tls === undefined) return createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.#accept(socket))
    const { context, mutual } = tls
    const server = createTlsServer({
      ...context,
      ALPNProtocols: ['h2'],
      allowHalfOpen: true,
      noDelay: true,
      handshakeTimeout: this.#options.limits.bodyTimeoutMs,
      requestCert: mutual,
      rejectUnauthorized: mutual,
    })
    server.on('connection', (socket: Socket) => this.#handshakes.begin(socket))
    server.on('secureConnection', (socket) => {
      this.#handshakes.done(socket)
      this.#accept(socket)
    })
    server.on('tlsClientError', (_, socket) => socket.destroy())
    tls.onChange((changed) => server.setSecureContext(changed))
    return server
  }

  /** @throws what listen says: EADDRINUSE and the like */
  static async listen(options: GrpcServerOptions): Promise<GrpcServer> {
    const opened = new GrpcServer(options)
    const { host, port, held } = options.address
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    opened.#server.once('error', reject)
    if (held === undefined) opened.#server.listen({ host, port, backlog: BACKLOG }, resolve)
    else opened.#server.listen(held, BACKLOG, resolve)
    try {
      await promise
    } catch (error) {
      await opened.close()
      throw error
    }
    opened.#server.off('error', reject)
    return opened
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** HOST:PORT, as clients of gRPC take it. */
  get target(): string {
    const { host } = this.#options.address
    return `${host.includes(':') ? `[${host}]` : host}:${this.port}`
  }

  #accept(socket: Socket): void {
    const { limits, clock, log } = this.#options
    const connection = new Connection(socket, {
      limits: { headerBytes: limits.headerBytes, streams: STREAMS_MAX },
      begin: (stream) => this.#begin(stream, socket),
      foreign: refuseForeign,
      failed: (error) => log.error({ error: String(error) }, 'a connection of gRPC failed'),
      nowMs: () => clock.monotonicMs(),
    })
    this.#connections.add(connection)
    this.#stalled.watch(socket)
    socket.once('close', () => this.#connections.delete(connection))
    if (this.#closing) connection.close()
  }

  #begin(stream: Stream, socket: Socket): void {
    const call = new Call(this.#callHost, stream, { from: socket.remoteAddress ?? '', startedMs: this.#options.clock.monotonicMs() })
    stream.taker = call
    try {
      const type = stream.header('content-type')
      if (type === undefined || !GRPC_TYPE.test(type) || stream.header(':method') !== 'POST') {
        if (stream.headers !== undefined) {
          stream.endWithHead(NOT_GRPC)
          return
        }
        throw new SlipwayError('SLW_BODY_TOO_LARGE', `the headers are larger than limits.headerBytes (${this.#options.limits.headerBytes})`)
      }
      const method = this.#methods.get(call.path)
      // Clients without a key do not learn which methods there are.
      requireAccess(this.#options.access, call, method?.access ?? 'predict', {})
      if (method === undefined)
        throw new SlipwayError('SLW_ROUTE_NOT_FOUND', `no method ${call.path}; server reflection lists those that there are`)
      call.begin(method)
    } catch (error) {
      call.fail(error)
    }
  }

  /** Ends what takes too long: a connection that says nothing, a message that does not come, a client that is not there any more. */
  #sweep(): void {
    const { limits, clock } = this.#options
    const nowMs = clock.monotonicMs()
    for (const connection of this.#connections) {
      const silentMs = nowMs - connection.heardMs
      const { pingedMs } = connection
      if (!connection.begun) {
        if (nowMs - connection.openedMs > limits.bodyTimeoutMs) connection.abort()
      } else if (pingedMs !== undefined) {
        if (nowMs - pingedMs > limits.bodyTimeoutMs) connection.abort()
      } else if (silentMs > limits.keepAliveMs) connection.ping()
      for (const { taker } of connection.streams()) if (taker instanceof Call) taker.sweep(nowMs)
      connection.endStalled(nowMs, limits.stallMs)
    }
  }

  /** From here on clients are told to open another connection for what comes next. */
  announceClose(): void {
    for (const connection of this.#connections) connection.announceClose()
  }

  /** Stops listening; resolves when every call is answered. Closing twice is fine. */
  async close(): Promise<void> {
    this.#closing = true
    for (const sweep of this.#sweeps) clearInterval(sweep)
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#connections) {
      for (const { taker } of connection.streams()) if (taker instanceof Call) taker.drain()
      connection.close()
    }
    this.#handshakes.end()
    await closed
  }

  /** Ends every connection, busy ones too. */
  abort(): void {
    for (const connection of this.#connections) connection.abort()
    this.#handshakes.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort()
    await this.close()
  }
}

/** Tells clients of HTTP/1.1 where they are. */
function refuseForeign(socket: Socket, first: Buffer): void {
  if (!/^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /.test(first.toString('latin1', 0, 8))) {
    socket.destroy()
    return
  }
  setTimeout(() => socket.destroy(), LEAVE_MS).unref()
  socket.end(lastWords('400 Bad Request', 'this port speaks gRPC (HTTP/2); HTTP/1.1 is on the port of --port'))
}
