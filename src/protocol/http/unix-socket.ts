import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { messageOf, SlipwayError } from '../../core/errors.ts'

/** Owner and group may connect. */
export const SOCKET_MODE = 0o660

/**
 * Makes way for a socket to listen on. A server that was killed leaves its socket file behind, and no process can listen
 * there until the file is gone; whether a process still listens is found out by connecting.
 * @throws SLW_PORT_IN_USE for a live socket, SLW_CONFIG_INVALID for something else that lies there
 */
export async function clearSocketPath(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new SlipwayError('SLW_CONFIG_INVALID', `cannot listen on the socket ${path}: ${error.message}`, { cause: error })
  })
  if (found === undefined) return
  if (!found.isSocket())
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `cannot listen on ${path}: it is there already and no socket; choose another path with --socket`,
    )
  const refusal = await knock(path)
  if (refusal === undefined)
    throw new SlipwayError('SLW_PORT_IN_USE', `another process listens on the socket ${path}; choose another with --socket`)
  if (refusal.code !== 'ECONNREFUSED')
    throw new SlipwayError('SLW_CONFIG_INVALID', `cannot listen on the socket ${path}: ${messageOf(refusal)}`, { cause: refusal })
  await unlink(path)
}

/** Error of a connection to the socket; undefined where a process accepts it. */
function knock(path: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(undefined)
    })
    socket.once('error', (error) => resolve(error))
  })
}
