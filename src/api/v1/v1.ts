import { createHash, randomUUID } from 'node:crypto'
import { check } from '../../contract/schema.ts'
import { SlipwayError } from '../../core/errors.ts'
import { findOnce, keepAnswer } from '../../ledger/once.ts'
import { callerOn, requirePermission } from '../access.ts'
import { enter, stillMay } from '../enter.ts'
import { fromFastify, streamOf } from '../api-options.ts'
import { problemOf } from './problem.ts'
import { openApi } from './openapi.ts'
import { coerceQuery } from './query.ts'
import { ALIAS_ROUTES } from './alias-routes.ts'
import { BACKUP_ROUTES } from './backup-routes.ts'
import { CONTENT_ROUTES } from './content-routes.ts'
import { ENVIRONMENT_ROUTES } from './environment-routes.ts'
import { ENDPOINT_ROUTES } from './endpoint-routes.ts'
import { EVENT_ROUTES } from './event-routes.ts'
import { FOLLOW_ROUTES } from './follow-routes.ts'
import { IMPORT_ROUTES } from './import-routes.ts'
import { KEY_ROUTES } from './key-routes.ts'
import { endpointAnswer } from './endpoint-answer.ts'
import { modelAnswer, versionAnswer } from './answers.ts'
import { MODEL_ROUTES } from './model-routes.ts'
import { PROMOTE_ROUTES } from './promote-routes.ts'
import { RUN_ROUTES } from './run-routes.ts'
import { SERVING_ROUTES } from './serving-routes.ts'
import { SIGNER_ROUTES } from './signer-routes.ts'
import { TOKEN_ROUTES } from './token-routes.ts'
import { VERSION_ROUTES } from './version-routes.ts'
import { WEBHOOK_ROUTES } from './webhook-routes.ts'
import { WINDOW_ROUTES } from './window-routes.ts'
import { WORK_ROUTES } from './work-routes.ts'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Once, Scope } from '../../ledger/scope.ts'
import type { ApiOptions } from '../api-options.ts'
import type { V1Answer, V1Route } from './route.ts'

export const V1_ROUTES: readonly V1Route[] = [
  ...MODEL_ROUTES,
  ...VERSION_ROUTES,
  ...ALIAS_ROUTES,
  ...CONTENT_ROUTES,
  ...RUN_ROUTES,
  ...EVENT_ROUTES,
  ...ENVIRONMENT_ROUTES,
  ...PROMOTE_ROUTES,
  ...TOKEN_ROUTES,
  ...ENDPOINT_ROUTES,
  ...FOLLOW_ROUTES,
  ...WINDOW_ROUTES,
  ...SERVING_ROUTES,
  ...SIGNER_ROUTES,
  ...WEBHOOK_ROUTES,
  ...KEY_ROUTES,
  ...BACKUP_ROUTES,
  ...IMPORT_ROUTES,
  ...WORK_ROUTES,
]

/** The registry's own API. Its description is `/api/v1/openapi.json`. */
export function v1Routes(options: ApiOptions): FastifyPluginAsync {
  return async (app) => {
    app.setErrorHandler((thrown, request, reply) => {
      const error = fromFastify(thrown)
      const problem = problemOf(error)
      if (problem.status >= 500)
        options.log.error({ code: error.code, method: request.method, path: request.url.split('?', 1)[0] }, error.stack ?? error.message)
      if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="slipway"')
      if (error.retryAfterMs !== undefined) void reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1000)))
      return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
    })
    app.removeAllContentTypeParsers()
    // A route that takes bytes gets the stream; the others read JSON of it.
    app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    app.setNotFoundHandler((request, reply) => {
      const path = request.url.split('?', 1)[0]!
      const allowed = PATHS.find(({ pattern }) => pattern.test(path))?.methods
      if (allowed === undefined) throw new SlipwayError('SLW_ROUTE_NOT_FOUND', `there is no ${path}`)
      void reply.header('allow', allowed)
      throw new SlipwayError('SLW_METHOD_NOT_ALLOWED', `${path} does not take ${request.method}`)
    })
    const description = JSON.stringify(openApi(V1_ROUTES))
    app.get('/openapi.json', (_request, reply) => reply.type('application/json').send(description))
    for (const route of V1_ROUTES)
      app.route({ method: route.method, url: route.path, handler: (request, reply) => answer(options, route, request, reply) })
  }
}

async function answer(options: ApiOptions, route: V1Route, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const params = request.params as Record<string, string>
  // What a body says is only looked at for those who may come in at all.
  const early = route.models === undefined ? (params['model'] === undefined ? [] : [params['model']]) : 'any'
  const { caller: known, scope: entered } = await enter(options, request, { action: route.action, models: early })
  let caller = known
  const query = checked(route.query, coerceQuery(route.query, request.query as Record<string, unknown>), 'the query')
  const text = route.body === undefined ? '' : await textOf(request)
  const body = route.body === undefined ? undefined : checked(route.body, parsed(text), 'the body')
  const once = onceOf(request, route, text)
  const reason = headerOf(request, 'slipway-reason')
  if (route.models !== undefined) {
    const models = await route.models({ options, params, query, body, environment: entered.environment })
    const target = { environment: entered.environment, models }
    caller = callerOn(caller, target)
    requirePermission(caller, route.action, target)
  }
  const scope: Scope = {
    ...entered,
    ...(reason !== undefined && { reason: decoded(reason) }),
    ...(once !== undefined && { once }),
  }
  const before = once === undefined ? undefined : await replayed(options, scope, once)
  if (before !== undefined) {
    void reply.code(before.status).header('idempotency-replayed', 'true').type('application/json')
    return before.body
  }
  const ifMatch = headerOf(request, 'if-match')?.replace(/^(?:W\/)?"(.*)"$/, '$1')
  const result = await route.handle(
    {
      options,
      scope,
      caller,
      params,
      query,
      body,
      ifMatch: ifMatch === '*' ? undefined : ifMatch,
      request,
      stillMay: () => stillMay(options, request, { action: route.action, models: early }),
    },
    reply,
  )
  if (reply.sent) return reply
  return await send(options, { route, result, scope, once }, request, reply)
}

async function send(
  options: ApiOptions,
  { route, result, scope, once }: { route: V1Route; result: V1Answer; scope: Scope; once: Once | undefined },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const status = result.status ?? route.status ?? (route.answer === undefined ? 204 : 200)
  if (result.location !== undefined) void reply.header('location', result.location)
  const json = result.body === undefined ? undefined : JSON.stringify(result.body)
  if (once !== undefined) await options.registry.write((write) => keepAnswer(write, scope.actor, once.key, { status, body: json ?? '' }))
  if (json === undefined) return await reply.code(status).send()
  if (result.etag !== undefined) {
    void reply.header('etag', `"${result.etag}"`)
    if (request.method === 'GET' && headerOf(request, 'if-none-match')?.split(/, */).includes(`"${result.etag}"`) === true)
      return await reply.code(304).send()
  }
  return await reply.code(status).type('application/json').send(json)
}

/** The answer to a request that was made before; where it got lost, that the work is done. */
async function replayed(
  { registry, delivery }: ApiOptions,
  scope: Scope,
  once: Once,
): Promise<{ status: number; body: string } | undefined> {
  const earlier = await findOnce(registry.read, scope.actor, once)
  if (earlier === undefined) return undefined
  if (earlier.answer !== undefined) return earlier.answer
  const { kind, name } = earlier
  if (kind === 'model') return { status: 200, body: JSON.stringify(modelAnswer(await registry.models.get(scope, name))) }
  if (kind === 'endpoint') {
    const [status] = await delivery.statusOf(scope, [await delivery.endpoints.get(scope, name)])
    return {
      status: 200,
      body: JSON.stringify({ change: 'configured', dryRun: false, differences: [], endpoint: endpointAnswer(status!) }),
    }
  }
  if (kind === 'version') {
    const [model = '', number = ''] = name.split('/')
    return { status: 200, body: JSON.stringify(versionAnswer(await registry.versions.get(scope, model, number))) }
  }
  throw new SlipwayError(
    'SLW_CONFLICT',
    `the request with the Idempotency-Key "${once.key}" has been done, and its answer got lost: read what it was about`,
  )
}

function onceOf(request: FastifyRequest, { method, path, takesBytes }: V1Route, text: string): Once | undefined {
  const key = headerOf(request, 'idempotency-key')
  if (key === undefined || method === 'GET' || takesBytes === true) return undefined
  if (key === '' || key.length > 255) throw new SlipwayError('SLW_INPUT_INVALID', 'the Idempotency-Key has 1 to 255 characters')
  const digest = createHash('sha256').update(`${method} ${path} ${request.url}\n${text}`).digest('hex')
  return { key, digest, attempt: randomUUID() }
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** Headers hold ASCII: other characters come percent-encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text).slice(0, 10_000)
  } catch {
    return text.slice(0, 10_000)
  }
}

async function textOf(request: FastifyRequest): Promise<string> {
  const body = streamOf(request)
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += piece.length
    if (size > BODY_BYTES_MAX) break
    pieces.push(piece)
  }
  if (size <= BODY_BYTES_MAX) return Buffer.concat(pieces).toString('utf8')
  // A client that still sends would not hear the answer: the rest is read and forgotten.
  body.resume()
  throw new SlipwayError('SLW_BODY_TOO_LARGE', `the body is larger than ${BODY_BYTES_MAX} bytes`)
}

const BODY_BYTES_MAX = 8 * 1024 * 1024

function parsed(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text)
  } catch (error) {
    throw new SlipwayError('SLW_BAD_REQUEST', `the body is no JSON: ${(error as Error).message}`)
  }
}

function checked(schema: V1Route['query'], value: unknown, what: string): unknown {
  if (schema === undefined) return {}
  const found = check(schema, value)
  if ('value' in found) return found.value
  const first = found.issues[0]
  const place = first === undefined || first.path === '' ? what : first.path
  throw new SlipwayError('SLW_INPUT_INVALID', `${place}: ${first?.message ?? 'is not what was expected'}`, { issues: found.issues })
}

/** Which methods each path takes, for those who come with another one. */
const PATHS = [...Map.groupBy([...V1_ROUTES, { path: '/openapi.json', method: 'GET' }], ({ path }) => path)].map(([path, routes]) => ({
  pattern: new RegExp(`^/api/v1${path.replaceAll(/:\w+/g, '[^/]+').replace('*', '.+')}/?$`),
  methods: routes.map(({ method }) => method).join(', '),
}))
