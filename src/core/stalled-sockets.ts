import type { Socket } from 'node:net'

/**
 * Connections on which an answer waits, and whose client has stopped reading, whatever else it sends. They are found by looking at all of
 * them now and then: a timer per socket would be re-armed at every read and write, which costs more than everything else that a small
 * request takes.
 */
export class StalledSockets {
  /** Bytes that had gone out on each connection at the last sweep; -1 where nothing waited. */
  readonly #moved = new Map<Socket, number>()

  watch(socket: Socket): void {
    this.#moved.set(socket, -1)
    socket.once('close', () => this.#moved.delete(socket))
  }

  /** Ends connections on which an answer waits and no byte has gone out since the last sweep. */
  sweep(): void {
    for (const [socket, before] of this.#moved) {
      const waiting = socket.writableLength
      const gone = socket.bytesWritten - waiting
      if (waiting > 0 && gone === before) socket.destroy()
      else this.#moved.set(socket, waiting > 0 ? gone : -1)
    }
  }
}
