import { chmod } from 'node:fs/promises'
import { lookup } from 'node:dns/promises'
import * as net from 'node:net'
import { getSystemErrorName } from 'node:util'
import { clearSocketPath, SOCKET_MODE } from '../../protocol/http/unix-socket.ts'
import { goesWithout, tellWithout } from '../grpc.ts'
import { addressKey, listenError } from '../listen.ts'
import type { Logger } from '../../core/log.ts'
import type { ServerConfig } from '../options.ts'

/** A bound socket, as Node's own cluster hands it from process to process. */
interface Bound {
  close(): void
  /** @returns 0, or a negative error number */
  getsockname?(address: { port?: number }): number
}

/** Node's way to a socket that is bound and that this process does not accept from. It has no documented one; its `cluster` uses this. */
const { _createServerHandle: bind } = net as unknown as {
  readonly _createServerHandle: (address: string, port: number, addressType: number) => Bound | number
}

/**
 * The sockets of a server of several processes, which accept from them. They belong to the primary, so connections wait in them, and are not
 * refused or lost, while every process is being started again.
 */
export class HeldSockets implements Disposable {
  readonly #bound: Map<string, Bound>
  /** The configuration with the ports that were found where none was chosen. */
  readonly config: ServerConfig

  private constructor(bound: Map<string, Bound>, config: ServerConfig) {
    this.#bound = bound
    this.config = config
  }

  /** @throws SLW_PORT_IN_USE, SLW_CONFIG_INVALID */
  static async open(config: ServerConfig, log: Logger): Promise<HeldSockets> {
    const { host, socket } = config
    const bound = new Map<string, Bound>()
    try {
      const { address, family } = await lookup(host)
      const hold = (port: number): number => {
        const made = portOf(address, family, port)
        bound.set(addressKey({ host, port: made.port }), made.socket)
        return made.port
      }
      const port = hold(config.port)
      const adminPort = config.adminPort === undefined ? undefined : hold(config.adminPort)
      // Dialects may share a port.
      const ports = new Map([...new Set(config.dialects.flatMap((dialect) => dialect.port ?? []))].map((asked) => [asked, hold(asked)]))
      const dialects = config.dialects.map((dialect) =>
        dialect.port === undefined ? dialect : { ...dialect, port: ports.get(dialect.port) },
      )
      const grpc = config.grpc === undefined ? undefined : holdGrpc(config, hold, log)
      if (socket !== undefined) {
        await clearSocketPath(socket)
        bound.set(addressKey({ socket }), requireBound(bind(socket, -1, -1), { address: socket }))
        await chmod(socket, SOCKET_MODE)
      }
      return new HeldSockets(bound, { ...config, port, adminPort, dialects, grpc })
    } catch (error) {
      for (const one of bound.values()) one.close()
      throw listenError(error, config)
    }
  }

  entries(): Iterable<readonly [key: string, socket: unknown]> {
    return this.#bound
  }

  /** From here on nobody can connect but through a process that still accepts. */
  [Symbol.dispose](): void {
    for (const one of this.#bound.values()) one.close()
    this.#bound.clear()
  }
}

/** The port of gRPC; undefined where the server goes without. */
function holdGrpc(config: ServerConfig, hold: (port: number) => number, log: Logger): ServerConfig['grpc'] {
  const grpc = config.grpc!
  try {
    return { ...grpc, port: hold(grpc.port) }
  } catch (error) {
    if (!goesWithout(error, config)) throw error
    tellWithout(config, log)
    return undefined
  }
}

function portOf(address: string, family: number, port: number): { readonly socket: Bound; readonly port: number } {
  const socket = requireBound(bind(address, port, family), { address, port })
  const own: { port?: number } = {}
  const failed = socket.getsockname?.(own) ?? 0
  if (failed === 0) return { socket, port: own.port ?? port }
  // A port that is taken is told late.
  socket.close()
  throw systemError(failed, { address, port })
}

function requireBound(made: Bound | number, where: object): Bound {
  if (typeof made === 'number') throw systemError(made, where)
  return made
}

function systemError(number: number, where: object): Error {
  const code = getSystemErrorName(number)
  return Object.assign(new Error(code), { code, ...where })
}
