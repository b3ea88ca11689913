import { toSlipwayError } from '../../core/errors.ts'
import { requirePermission } from '../access.ts'
import { environmentOf, fromFastify } from '../doors.ts'
import { toWireError } from './errors.ts'
import { EXPERIMENT_ROUTES } from './experiment-routes.ts'
import { Fields } from './fields.ts'
import { LOGGED_MODEL_ROUTES } from './logged-model-routes.ts'
import { MODEL_ROUTES } from './model-routes.ts'
import { RUN_ROUTES } from './run-routes.ts'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { ApiOptions } from '../doors.ts'
import type { MlflowRoute } from './call.ts'

const ROUTES: readonly MlflowRoute[] = [...EXPERIMENT_ROUTES, ...RUN_ROUTES, ...LOGGED_MODEL_ROUTES, ...MODEL_ROUTES]

/** The tracking and registry API of MLflow, for its unmodified clients. */
export function mlflowRoutes(options: ApiOptions): FastifyPluginAsync {
  return async (app) => {
    useMlflowErrors(app, options)
    for (const { methods, path, action, handle } of ROUTES)
      app.route({
        method: [...methods],
        url: `/${path}`,
        handler: async (request) => {
          const caller = await options.access.callerOf(request.headers)
          requirePermission(caller, action)
          const scope = { environment: environmentOf(request.raw, options), actor: caller.name }
          const values = request.method === 'GET' ? request.query : request.body
          return await handle({
            registry: options.registry,
            scope,
            caller,
            fields: new Fields((values ?? {}) as Record<string, unknown>),
            params: request.params as Record<string, string>,
          })
        },
      })
  }
}

/** Errors in MLflow's shape. What is no fault of the caller is logged. */
export function useMlflowErrors(app: FastifyInstance, { log }: Pick<ApiOptions, 'log'>): void {
  app.setErrorHandler((thrown, request, reply) => {
    const error = fromFastify(toSlipwayError(thrown))
    const { status, body } = toWireError(error)
    if (status >= 500)
      log.error({ code: error.code, method: request.method, path: request.url.split('?', 1)[0] }, error.stack ?? error.message)
    if (status === 401) void reply.header('www-authenticate', 'Bearer realm="slipway"')
    return reply.code(status).send(body)
  })
}
