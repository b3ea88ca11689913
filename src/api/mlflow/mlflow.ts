import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { JSON_BYTES_MAX } from '../bodies.ts'
import { requireModest } from '../modest-json.ts'
import { enter, refuseStrangers } from '../enter.ts'
import { fromFastify } from '../framework-errors.ts'
import { toWireError } from './errors.ts'
import { EXPERIMENT_ROUTES } from './experiment-routes.ts'
import { Fields } from './fields.ts'
import { LOGGED_MODEL_ROUTES } from './logged-model-routes.ts'
import { MODEL_ROUTES } from './model-routes.ts'
import { RUN_ROUTES } from './run-routes.ts'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Resource } from '../../contract/roles.ts'
import type { Logger } from '../../core/log.ts'
import type { EntryServices } from '../enter.ts'
import type { MlflowRoute, MlflowServices } from './call.ts'

export const MLFLOW_ROUTES: readonly MlflowRoute[] = [...EXPERIMENT_ROUTES, ...RUN_ROUTES, ...LOGGED_MODEL_ROUTES, ...MODEL_ROUTES]

/** The tracking and services API of MLflow, for its unmodified clients. */
export function mlflowRoutes(services: MlflowServices & EntryServices & { readonly log: Logger }): FastifyPluginAsync {
  return async (app) => {
    useMlflowErrors(app, services)
    refuseStrangers(app, services)
    readBodies(app)
    for (const { path, methods } of othersOf(MLFLOW_ROUTES)) app.route({ method: methods, url: `/${path}`, handler: refuseMethod })
    for (const { methods, path, action, handle } of MLFLOW_ROUTES)
      app.route({
        method: [...methods],
        url: `/${path}`,
        bodyLimit: WITH_DATASETS.test(path) ? JSON_BYTES_MAX : FEW_BYTES_MAX,
        handler: async (request) => {
          const values = request.method === 'GET' ? request.query : request.body
          const { caller, scope } = await enter(services, request, { action, models: modelsOf(path, values, request.method) })
          return await handle({
            services,
            scope,
            caller,
            fields: new Fields((values ?? {}) as Record<string, unknown>, { fromQuery: request.method === 'GET' }),
            params: request.params as Record<string, string>,
          })
        },
      })
  }
}

/** Reads bodies as JSON objects, whatever their Content-Type; an empty body has no fields. */
export function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, text, done) => {
    let body: unknown
    try {
      body = text === '' ? {} : parse(text as string)
    } catch (error) {
      if (isSlipwayError(error)) return done(error)
      // Reported below.
    }
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) done(null, body)
    else done(new SlipwayError('SLW_INPUT_INVALID', 'Missing value for required parameter: the body is not a JSON object'))
  })
}

/** Python writes NaN and infinities as words that are not JSON: these words are read as strings. @throws SyntaxError */
function parse(text: string): unknown {
  requireModest(text)
  try {
    return JSON.parse(text)
  } catch {
    return JSON.parse(
      text.replaceAll(/"(?:[^"\\]|\\[^])*(?:"|\\?$)|NaN|-?Infinity/g, (word) => (word.startsWith('"') ? word : `"${word}"`)),
    )
  }
}

/** Bodies with schemas and profiles of datasets, which may have 17 MB each. */
const WITH_DATASETS = /^runs\/log-inputs$/
/** All others: a batch of a thousand metrics, and parameters and tags as long as they may be, takes half of it. */
const FEW_BYTES_MAX = 8 * 1024 * 1024

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** The methods that each path does not accept. */
function othersOf(routes: readonly MlflowRoute[]): { path: string; methods: string[] }[] {
  return [...Map.groupBy(routes, ({ path }) => path)].map(([path, same]) => ({
    path,
    methods: METHODS.filter((method) => same.every(({ methods }) => !methods.includes(method as never))),
  }))
}

function refuseMethod({ method, url }: { readonly method: string; readonly url: string }): never {
  throw new SlipwayError('SLW_METHOD_NOT_ALLOWED', `${url.split('?', 1)[0]!} does not take ${method}`)
}

/** Routes that end or hide what others have logged, for which a role for some models is not enough. */
const OF_EVERYBODY = /^(?:experiments|runs)\/(?:delete|restore)$|^experiments\/update$/

/**
 * The models that a call is about. Routes of models and versions name the model, a renaming the new name too; searches show what the caller
 * may see. Experiments, runs and logged models belong to no model: whoever trains some models logs them.
 */
function modelsOf(path: string, values: unknown, method: string): Resource['models'] {
  if (!/^(?:registered-models|model-versions)\//.test(path))
    return OF_EVERYBODY.test(path) || (method === 'DELETE' && path === 'logged-models/:model_id') ? [] : 'any'
  if (path.endsWith('/search')) return 'any'
  const { name, new_name: next } = (values ?? {}) as { name?: unknown; new_name?: unknown }
  const names = path.endsWith('/rename') ? [name, next] : [name]
  return names.filter((text) => typeof text === 'string' && text !== '') as string[]
}

/** Errors in MLflow's shape. Errors that are not the caller's fault are logged. */
export function useMlflowErrors(app: FastifyInstance, { log }: { readonly log: Logger }): void {
  app.setErrorHandler((thrown, request, reply) => {
    const error = fromFastify(thrown)
    const { status, body } = toWireError(error)
    if (status >= 500)
      log.error({ code: error.code, method: request.method, path: request.url.split('?', 1)[0] }, error.stack ?? error.message)
    if (status === 401) void reply.header('www-authenticate', 'Bearer realm="slipway"')
    return reply.code(status).send(body)
  })
}
