import { Handshakes, lastWords } from '../core/sockets.ts'
import { StalledSockets } from '../core/stalled-sockets.ts'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Limits of the connections of the control plane. */
export interface ConnectionLimits {
  /** Open connections of one address; more are refused. */
  readonly perAddress: number
  /** Time for a header, from its first byte, and for a client to send its first request. */
  readonly headerMs: number
  /** A body must come at `bytesPerSecond` on average, reckoned from `graceMs` after its header. */
  readonly bytesPerSecond: number
  readonly graceMs: number
  /** An answer of which no byte goes out for so long is given up. */
  readonly stallMs: number
  /** Pause between two looks. */
  readonly sweepMs: number
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  perAddress: 1000,
  headerMs: 20_000,
  bytesPerSecond: 1024,
  graceMs: 20_000,
  stallMs: 60_000,
  sweepMs: 2000,
}
/** Connections of all addresses together. */
const CONNECTIONS_MAX = 20_000

/** One connection, and the request on it. */
interface Watched {
  /** Bytes that had come when the last request was complete. */
  before: number
  /** Since when the header of a request is awaited or comes, monotonic ms; undefined while a request is answered, or none has begun. */
  headerMs: number | undefined
  request: IncomingMessage | undefined
  response: ServerResponse | undefined
  /** When the header of the request was there, and how many bytes had come then. */
  requestMs: number
  atRequest: number
  /** Requests that are not answered to the end. */
  answering: number
}

/**
 * Watches the connections of a server: none may be held by sending or reading slowly, one address has no more than its share, and closing
 * waits for no connection on which nothing is asked.
 */
export class Connections implements Disposable {
  readonly #limits: ConnectionLimits
  readonly #watched = new Map<Socket, Watched>()
  readonly #byAddress = new Map<string, number>()
  readonly #stalled = new StalledSockets()
  readonly #handshakes = new Handshakes()
  readonly #sweeps: NodeJS.Timeout[]
  #closing = false

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#sweeps = [setInterval(() => this.#endSlow(), limits.sweepMs), setInterval(() => this.#stalled.sweep(), limits.stallMs)]
    for (const sweep of this.#sweeps) sweep.unref()
  }

  /** @param secure whether connections count once their TLS handshake is done; Node ends slow handshakes by itself */
  guard(server: Server, secure: boolean): void {
    server.maxConnections = CONNECTIONS_MAX
    server.on('connection', (socket: Socket) => {
      if (!this.#count(socket, secure)) return
      if (secure) this.#handshakes.begin(socket)
      else this.#watch(socket)
    })
    if (secure)
      server.on('secureConnection', (socket: Socket) => {
        this.#handshakes.done(socket)
        this.#watch(socket)
      })
    server.on('request', (request, response) => this.#asked(request, response))
  }

  /** @returns whether the address may have one more; otherwise it is ended */
  #count(socket: Socket, secure: boolean): boolean {
    const address = socket.remoteAddress ?? ''
    const count = (this.#byAddress.get(address) ?? 0) + 1
    this.#byAddress.set(address, count)
    socket.once('close', () => {
      const left = this.#byAddress.get(address)! - 1
      if (left === 0) this.#byAddress.delete(address)
      else this.#byAddress.set(address, left)
    })
    if (count <= this.#limits.perAddress) return true
    const why = `more than ${this.#limits.perAddress} connections of ${address} are open`
    if (!secure) socket.write(lastWords('429 Too Many Requests', why))
    // At once: nothing that it sends is to be read, let alone done.
    socket.destroySoon()
    return false
  }

  #watch(socket: Socket): void {
    socket.once('close', () => this.#watched.delete(socket))
    this.#watched.set(socket, {
      before: 0,
      headerMs: performance.now(),
      request: undefined,
      response: undefined,
      requestMs: 0,
      atRequest: 0,
      answering: 0,
    })
    this.#stalled.watch(socket)
  }

  #asked(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const watched = this.#watched.get(socket)
    if (watched === undefined) return
    watched.headerMs = undefined
    watched.request = request
    watched.response = response
    watched.requestMs = performance.now()
    watched.atRequest = socket.bytesRead
    watched.answering++
    response.once('close', () => {
      watched.answering--
      if (request.complete) this.#idle(socket, watched)
      if (this.#closing && watched.answering === 0) socket.destroySoon()
    })
  }

  /** From here on the next header is waited for. */
  #idle(socket: Socket, watched: Watched): void {
    watched.request = undefined
    watched.before = socket.bytesRead
  }

  #endSlow(): void {
    const { headerMs, graceMs, bytesPerSecond } = this.#limits
    const now = performance.now()
    for (const [socket, watched] of this.#watched) {
      const { request } = watched
      if (request !== undefined && !request.complete) {
        const seconds = (now - watched.requestMs - graceMs) / 1000
        const isSlow = seconds > 0 && socket.bytesRead - watched.atRequest < seconds * bytesPerSecond
        if (isSlow && watched.response?.headersSent === false)
          refuse(socket, '408 Request Timeout', `the body came too slowly: less than ${bytesPerSecond} bytes a second`)
        else if (isSlow) socket.destroy()
        continue
      }
      if (watched.answering > 0) continue
      // The rest of a body that was refused has come.
      if (request !== undefined) this.#idle(socket, watched)
      // The next header counts from its first byte; a connection may be idle as long as the server allows.
      if (watched.headerMs === undefined && socket.bytesRead > watched.before) watched.headerMs = now
      if (watched.headerMs !== undefined && now - watched.headerMs > headerMs)
        refuse(socket, '408 Request Timeout', `no whole header came within ${headerMs / 1000} s`)
    }
  }

  /** Ends the connections on which nothing is asked, and the others once they are answered. */
  close(): void {
    this.#closing = true
    for (const [socket, { answering }] of this.#watched) if (answering === 0) socket.destroy()
    this.#handshakes.end()
  }

  [Symbol.dispose](): void {
    for (const sweep of this.#sweeps) clearInterval(sweep)
  }
}

/** Time for a client to read why its connection ends. */
const LEAVE_MS = 1000

/** Tells the client why, where no answer is on its way, and ends the connection. */
function refuse(socket: Socket, status: string, message: string): void {
  setTimeout(() => socket.destroy(), LEAVE_MS).unref()
  socket.end(lastWords(status, message))
}
