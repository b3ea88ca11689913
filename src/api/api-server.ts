import fastify from 'fastify'
import { artifactRoutes } from './mlflow/artifacts.ts'
import { mlflowRoutes } from './mlflow/mlflow.ts'
import { fromFastify, JSON_BYTES_MAX, takeEnvironment } from './api-options.ts'
import { authRoutes } from './auth.ts'
import { noteRefusals } from './enter.ts'
import { metricsRoutes } from './metrics.ts'
import { limitRates } from './rate-limits.ts'
import { statusRoutes } from './status.ts'
import { v1Routes } from './v1/v1.ts'
import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from './api-options.ts'

const HEADERS_TIMEOUT_MS = 60_000
/** A connection on which nothing moves for so long is ended. */
const IDLE_TIMEOUT_MS = 120_000

/** Every door of the control plane on one server that does not listen yet. */
export async function createApiServer(options: ApiOptions): Promise<FastifyInstance> {
  const { certificates } = options
  const app = fastify({
    ...(certificates !== undefined && {
      https: { ...certificates.context, ...(certificates.mutual && { requestCert: true, rejectUnauthorized: true }) } as object,
    }),
    // The one proxy before us says from where a request comes, and how.
    trustProxy: options.behindProxy ? (_address: string, hop: number) => hop === 0 : false,
    bodyLimit: JSON_BYTES_MAX,
    // An upload takes as long as it takes, while bytes come.
    requestTimeout: 0,
    connectionTimeout: IDLE_TIMEOUT_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
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
  // Who follows events would otherwise be waited for.
  app.addHook('preClose', async () => {
    options.news.end()
    options.deliveryNews.end()
  })
  if (certificates !== undefined)
    certificates.onChange((context) => (app.server as unknown as { setSecureContext(context: object): void }).setSecureContext(context))
  noteRefusals(app, options)
  await limitRates(app, options)
  await app.register(statusRoutes(options))
  await app.register(metricsRoutes(options))
  await app.register(authRoutes(options), { prefix: '/auth' })
  await app.register(v1Routes(options), { prefix: '/api/v1' })
  for (const prefix of ['/api/2.0', '/ajax-api/2.0']) {
    await app.register(mlflowRoutes(options), { prefix: `${prefix}/mlflow` })
    await app.register(artifactRoutes(options), { prefix: `${prefix}/mlflow-artifacts` })
  }
  return app
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]!
}
