/** The HTTP APIs of the control plane. They translate between clients and the modules, and decide nothing. */
import fastify from 'fastify'
import { JSON_BYTES_MAX } from './bodies.ts'
import { noteRefusals } from './enter.ts'
import { takeEnvironment } from './environment-prefix.ts'
import { fromFastify } from './framework-errors.ts'
import { limitRates } from './rate-limits.ts'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Refusals } from '../access/refusals.ts'
import type { Connections } from './connections.ts'
import type { Certificates } from '../security/certificates.ts'

export interface ApiServerOptions {
  /** Undefined: without TLS. */
  readonly certificates: Certificates | undefined
  /** Whether a proxy in front gives the address of the client. */
  readonly behindProxy: boolean
  /** Whether browsers reach us by TLS: cookies then have names that no other host can set. */
  readonly secure: boolean
  /** Upper limit of the requests of one caller in a minute. */
  readonly requestsPerMinute: number
  readonly refusals: Refusals
  readonly connections: Connections
  /** Aborted when the server closes, so that streams end; otherwise closing would wait for them. */
  readonly ending: AbortController
}

/** Routes below a prefix. */
export interface Door {
  /** Such as `/api/v1`; '' for none. */
  readonly prefix: string
  readonly plugin: FastifyPluginAsync
}

const HANDSHAKE_TIMEOUT_MS = 20_000
/** A connection that is silent for this long is closed. */
const IDLE_TIMEOUT_MS = 120_000

/** A server with all doors of the control plane, which does not listen yet. */
export async function createApiServer(options: ApiServerOptions, doors: readonly Door[]): Promise<FastifyInstance> {
  const { certificates } = options
  const app = fastify({
    ...(certificates !== undefined && {
      https: {
        ...certificates.context,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        ...(certificates.mutual && { requestCert: true, rejectUnauthorized: true }),
      } as object,
    }),
    // Only the one proxy in front is trusted about the address and protocol of a client.
    trustProxy: options.behindProxy ? (_address: string, hop: number) => hop === 0 : false,
    bodyLimit: JSON_BYTES_MAX,
    // An upload may take any time as long as bytes arrive.
    requestTimeout: 0,
    connectionTimeout: IDLE_TIMEOUT_MS,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
    // `/env/staging/api/...` is `/api/...` of staging, so that a client needs only another address.
    rewriteUrl: takeEnvironment,
  })
  app.setErrorHandler((error, _request, reply) => {
    const { code, message, kind } = fromFastify(error)
    return reply.code(kind.http).send({ error: message, code })
  })
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      error_code: 'ENDPOINT_NOT_FOUND',
      error: `there is no ${request.method} ${pathOf(request.url)}`,
      message: `there is no ${request.method} ${pathOf(request.url)}`,
      code: 'SLW_ROUTE_NOT_FOUND',
    }),
  )
  options.connections.guard(app.server, certificates !== undefined)
  app.addHook('preClose', async () => {
    options.ending.abort(new Error('the server ends'))
    options.connections.close()
  })
  if (certificates !== undefined)
    certificates.onChange((context) => (app.server as unknown as { setSecureContext(context: object): void }).setSecureContext(context))
  noteRefusals(app, options)
  await limitRates(app, options)
  for (const { prefix, plugin } of doors) await app.register(plugin, { prefix })
  return app
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]!
}
