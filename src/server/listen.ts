import { messageOf, isSlipwayError, SlipwayError } from '../core/errors.ts'
import { Cors } from '../protocol/http/cors.ts'
import { HttpServer } from '../protocol/http/server.ts'
import { holderOf } from './port-holder.ts'
import type { Placed } from '../protocol/http/dialects/speak.ts'
import type { HttpServerOptions } from '../protocol/http/server.ts'
import type { Route } from '../protocol/http/routes.ts'
import type { ServerConfig } from './options.ts'
import type { Security } from './security.ts'

/** Routes of the listeners, and the parts of the server that an HTTP server calls. */
export interface Behind extends Pick<HttpServerOptions, 'clock' | 'nextId' | 'audit' | 'dialects' | 'hint'>, Placed {
  /** Ports of dialects that have one of their own, and what is there. */
  readonly apart: readonly (Placed & { readonly port: number })[]
  /** Served on a port of their own where the configuration names one, else beside the others. */
  readonly adminRoutes: readonly Route[]
  /** Sockets that the primary of several processes holds, by `addressKey`. Default: this process makes its own. */
  readonly held?: ReadonlyMap<string, unknown> | undefined
}

/**
 * Opens the addresses that the configuration names: a port, and a Unix socket beside it, with the same routes. TLS is for
 * the port: clients of a socket file are on this machine.
 * @throws SLW_PORT_IN_USE, SLW_CONFIG_INVALID
 */
export async function listen(
  config: ServerConfig,
  security: Security,
  { routes: open, error: form, apart, adminRoutes, held, ...behind }: Behind,
): Promise<HttpServer> {
  const { host, port, adminPort, socket, allowedHosts, cors, limits } = config
  const at = (tried: number) => ({ host, port: tried, held: held?.get(addressKey({ host, port: tried })) })
  const routes = adminPort === undefined ? [...open, ...adminRoutes] : open
  try {
    return await HttpServer.listen({
      ...behind,
      limits,
      cors: cors === undefined ? undefined : new Cors(cors),
      access: { keys: security.keys, adminGuard: security.adminToken },
      listeners: [
        { address: at(port), routes, error: form, tls: security.certificates, allowedHosts },
        ...(socket === undefined ? [] : [{ address: { socket, held: held?.get(addressKey({ socket })) }, routes, error: form }]),
        ...(adminPort === undefined ? [] : [{ address: at(adminPort), routes: adminRoutes, tls: security.certificates, allowedHosts }]),
        ...apart.map((one) => ({ address: at(one.port), routes: one.routes, error: one.error, tls: security.certificates, allowedHosts })),
      ],
    })
  } catch (error) {
    throw listenError(error, config)
  }
}

/** Name of an address among the sockets that another process holds. */
export function addressKey(address: { readonly host: string; readonly port: number } | { readonly socket: string }): string {
  return 'socket' in address ? address.socket : `${address.host}:${address.port}`
}

/** An error of listening that says what is taken, by whom, and what to do. */
export function listenError(error: unknown, { host, port, adminPort, socket, dialects, grpc }: ServerConfig): SlipwayError {
  if (isSlipwayError(error)) return error
  const { code, address, port: tried = port } = error as NodeJS.ErrnoException & { address?: string; port?: number }
  const where = socket !== undefined && address === socket ? `the socket ${socket}` : `${host}:${tried}`
  if (code === 'EADDRINUSE')
    return new SlipwayError(
      'SLW_PORT_IN_USE',
      where.startsWith('the socket')
        ? `${where} is taken; choose another with --socket`
        : `port ${tried} on ${host} is taken${holderOf(tried)}; choose another with ${tried === adminPort ? '--admin-port' : tried === grpc?.port ? '--grpc-port' : dialects.some((one) => one.port === tried) ? '--dialects' : '--port'}`,
    )
  return new SlipwayError('SLW_CONFIG_INVALID', `cannot listen on ${where}: ${messageOf(error)}`, { cause: error })
}
