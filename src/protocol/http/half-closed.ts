import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** When to probe after a client has closed its side. The first byte draws a reset from whoever is gone, and a later one finds it. */
const PROBES_MS = [10, 30, 500]

/**
 * Clients that close their side once their request is sent, and still read the answer. On its way that looks like a client that has gone.
 * The two are told apart by bytes: whoever is still there gets the interim answer 102, which every client of HTTP/1.1 skips (RFC 9110,
 * section 15.2); whoever is gone answers it with a reset, which ends the request.
 */
export class HalfClosedClients {
  /** The newest answer on each connection. */
  readonly #answers = new WeakMap<Socket, ServerResponse>()

  /** Keeps the connections of a server whose clients have closed their side, until their answers are sent. */
  allow(server: Server): void {
    // Node has this switch for a long time, without a type.
    Object.assign(server, { httpAllowHalfOpen: true })
  }

  watch(socket: Socket): void {
    socket.once('end', () => {
      if (this.#waits(socket) === undefined) return
      for (const after of PROBES_MS) setTimeout(() => this.#waits(socket)?.writeProcessing(), after).unref()
    })
  }

  answering({ socket }: IncomingMessage, response: ServerResponse): void {
    this.#answers.set(socket, response)
  }

  /** The answer that a connection waits for, if its client knows interim ones. */
  #waits(socket: Socket): ServerResponse | undefined {
    const response = this.#answers.get(socket)
    if (socket.destroyed || response === undefined || response.headersSent || response.req.httpVersionMinor < 1) return undefined
    return response
  }
}
