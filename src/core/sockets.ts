/** What servers of every kind need of their connections. */
import type { Socket } from 'node:net'

/** An answer in HTTP/1.1 to a request that never became one, which ends the connection. */
export function lastWords(status: string, message: string): string {
  const body = JSON.stringify({ error: message })
  return `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
}

/** Connections whose TLS handshake is not done: Node does not count them among those of the server. */
export class Handshakes {
  /** By address and port of the client. */
  readonly #sockets = new Map<string, Socket>()

  begin(socket: Socket): void {
    const client = clientOf(socket)
    this.#sockets.set(client, socket)
    socket.once('close', () => this.#sockets.delete(client))
  }

  /** @param socket the one that came of the handshake */
  done(socket: Socket): void {
    this.#sockets.delete(clientOf(socket))
  }

  end(): void {
    for (const socket of this.#sockets.values()) socket.destroy()
  }
}

function clientOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
