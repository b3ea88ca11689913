import type { FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'

const signals = new WeakMap<Socket, AbortSignal>()

/**
 * A signal that is aborted when the client has closed the connection: nobody waits for the answer any more. One that has closed its sending
 * half alone looks the same, and is taken for gone.
 */
export function goneSignal({ raw: { socket } }: FastifyRequest): AbortSignal {
  const known = signals.get(socket)
  if (known !== undefined) return known
  const gone = new AbortController()
  const close = (): void => gone.abort(new Error('the connection was closed'))
  socket.once('end', close)
  socket.once('close', close)
  if (socket.destroyed) close()
  signals.set(socket, gone.signal)
  return gone.signal
}
