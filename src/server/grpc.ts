import { systemClock } from '../core/clock.ts'
import { createIds } from '../core/ids.ts'
import { notReadyReason } from '../protocol/http/health.ts'
import { auditLog } from './audit-log.ts'
import { addressKey, listenError } from './listen.ts'
import { holderOf } from './port-holder.ts'
import type { Logger } from '../core/log.ts'
import type { GrpcServer } from '../protocol/grpc/server.ts'
import type { DialectHost } from '../protocol/http/dialects/dialect.ts'
import type { ServerConfig } from './options.ts'
import type { Security } from './security.ts'

export interface GrpcDoor {
  readonly config: ServerConfig
  readonly security: Security
  readonly log: Logger
  /** See `Behind.held`. */
  readonly held?: ReadonlyMap<string, unknown> | undefined
}

/**
 * Opens the port of gRPC.
 * @returns undefined where gRPC is off, or its default port is taken, which is told in the log
 * @throws SLW_PORT_IN_USE for a port that was asked for, SLW_CONFIG_INVALID
 */
export async function openGrpc({ config, security, log, held }: GrpcDoor, host: DialectHost): Promise<GrpcServer | undefined> {
  const { grpc, limits, strictReadiness } = config
  if (grpc === undefined) return undefined
  // Loaded only where it is spoken.
  const [{ GrpcServer: Server }, { grpcServices }] = await Promise.all([
    import('../protocol/grpc/server.ts'),
    import('../protocol/grpc/services.ts'),
  ])
  const { dataPlane } = host
  const access = { keys: security.keys, adminGuard: security.adminToken }
  const nextId = createIds()
  const notReady = (): string | undefined => notReadyReason(dataPlane, { strict: strictReadiness })
  try {
    return await Server.listen({
      address: { host: config.host, port: grpc.port, held: held?.get(addressKey({ host: config.host, port: grpc.port })) },
      tls: security.certificates,
      access,
      limits,
      clock: systemClock,
      log,
      nextId,
      audit: auditLog(log),
      services: grpcServices({ ...host, access, nextId, notReady, watch: (changed) => dataPlane.watch(changed) }),
    })
  } catch (error) {
    if (!goesWithout(error, config)) throw listenError(error, config)
    tellWithout(config, log)
    return undefined
  }
}

/** Whether a server goes on without gRPC: its port is taken, and nobody has asked for it. */
export function goesWithout(error: unknown, { grpc }: ServerConfig): boolean {
  return grpc?.asked === false && (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
}

export function tellWithout({ grpc, host }: ServerConfig, log: Logger): void {
  const port = grpc?.port ?? 0
  log.warn(
    { port },
    `gRPC is off: its default port ${port} on ${host} is taken${holderOf(port)}; choose another with --grpc-port, or leave gRPC out of --dialects`,
  )
}
