import { firstCharacters } from '../../core/text.ts'
import { createHash, randomUUID } from 'node:crypto'
import { check } from '../../contract/schema.ts'
import { SlipwayError } from '../../core/errors.ts'
import { beginOnce, freeOnce, keepAnswer } from '../../ledger/once.ts'
import { seal, unseal } from '../../security/seal.ts'
import { callerId, callerOn, credentialOf, requirePermission } from '../access.ts'
import { enter, stillMay } from '../enter.ts'
import { requireModest } from '../modest-json.ts'
import { streamOf } from '../bodies.ts'
import { fromFastify } from '../framework-errors.ts'
import { problemOf } from './problem.ts'
import { openApi } from './openapi.ts'
import { coerceQuery } from './query.ts'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '../../core/log.ts'
import type { Ground, Once, Scope } from '../../ledger/scope.ts'
import type { Principal } from '../access.ts'
import type { EntryServices } from '../enter.ts'
import type { V1Answer, V1Route } from './route.ts'

/** Services that every route needs, beside its own. */
export interface V1Services extends EntryServices {
  readonly ground: Ground
  readonly log: Logger
}

/** Rebuilds the lost answer of a request that was executed before, for objects of one kind. */
export type Retold<Services> = (
  services: Services,
  scope: Scope,
  name: string,
) => Promise<{ readonly status: number; readonly body: object }>

/** The routes of an API, and how lost answers are rebuilt. */
export interface V1Api<Services> {
  readonly routes: readonly V1Route<Services>[]
  /** By the kind of object. */
  readonly retold: Readonly<Record<string, Retold<Services>>>
}

/** The registry's own API. Its description is `/api/v1/openapi.json`. */
export function v1Door<S extends V1Services>(api: V1Api<S>, services: S): FastifyPluginAsync {
  const paths = methodsByPath(api.routes)
  return async (app) => {
    app.setErrorHandler((thrown, request, reply) => {
      const error = fromFastify(thrown)
      const problem = problemOf(error)
      if (problem.status >= 500)
        services.log.error({ code: error.code, method: request.method, path: request.url.split('?', 1)[0] }, error.stack ?? error.message)
      if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="slipway"')
      if (error.retryAfterMs !== undefined) void reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1000)))
      return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
    })
    app.removeAllContentTypeParsers()
    // A route that takes bytes gets the stream; the others read JSON from it.
    app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    app.setNotFoundHandler((request, reply) => {
      const path = request.url.split('?', 1)[0]!
      const allowed = paths.find(({ pattern }) => pattern.test(path))?.methods
      if (allowed === undefined) throw new SlipwayError('SLW_ROUTE_NOT_FOUND', `there is no ${path}`)
      void reply.header('allow', allowed)
      throw new SlipwayError('SLW_METHOD_NOT_ALLOWED', `${path} does not take ${request.method}`)
    })
    const description = JSON.stringify(openApi(api.routes))
    app.get('/openapi.json', (_request, reply) => reply.type('application/json').send(description))
    for (const route of api.routes)
      app.route({ method: route.method, url: route.path, handler: (request, reply) => answer({ api, services, route }, request, reply) })
  }
}

interface Asked<S> {
  readonly api: V1Api<S>
  readonly services: S
  readonly route: V1Route<S>
}

async function answer<S extends V1Services>(asked: Asked<S>, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { services, route } = asked
  const params = request.params as Record<string, string>
  // The body is only read after the caller has passed the entry check.
  const early = route.models === undefined ? (params['model'] === undefined ? [] : [params['model']]) : 'any'
  const { caller: known, scope: entered } = await enter(services, request, { action: route.action, models: early })
  let caller = known
  const query = checked(route.query, coerceQuery(route.query, request.query as Record<string, unknown>), 'the query')
  const text = route.body === undefined ? '' : await textOf(request)
  const body = route.body === undefined ? undefined : checked(route.body, parsed(text), 'the body')
  const once = onceOf(request, route, { text, caller: known, environment: entered.environment })
  const reason = headerOf(request, 'slipway-reason')
  if (route.models !== undefined) {
    const models = await route.models({ services, params, query, body, environment: entered.environment })
    const target = { environment: entered.environment, models }
    caller = callerOn(caller, target)
    requirePermission(caller, route.action, target)
  }
  const scope: Scope = {
    ...entered,
    ...(reason !== undefined && { reason: decoded(reason) }),
    ...(once !== undefined && { once }),
  }
  const ifMatch = headerOf(request, 'if-match')?.replace(/^(?:W\/)?"(.*)"$/, '$1')
  if (ifMatch !== undefined && route.method !== 'GET' && route.conditional !== true)
    throw new SlipwayError('SLW_PRECONDITION_FAILED', `${route.operation} takes no If-Match: there is nothing yet that could have changed`)
  const call = {
    services,
    scope,
    caller,
    params,
    query,
    body,
    ifMatch: ifMatch === '*' ? undefined : ifMatch,
    request,
    stillMay: () => stillMay(services, request, { action: route.action, models: early }),
  }
  if (once === undefined) {
    const result = await route.handle(call, reply)
    return reply.sent ? reply : await send(wireOf(route, result), request, reply)
  }
  const sealedBy = `${once.key}\n${credentialOf(request.headers, services.access.secure) ?? ''}`
  const before = await replayed(asked, scope, { once, sealedBy })
  if (before !== undefined) {
    void reply.header('idempotency-replayed', 'true')
    return await send(before, request, reply)
  }
  try {
    const wire = wireOf(route, await route.handle(call, reply))
    const sealed = route.secret === true
    await keepAnswer(services.ground, once, { ...wire, sealed, body: sealed ? seal(wire.body, sealedBy) : wire.body })
    return await send(wire, request, reply)
  } catch (error) {
    // A refusal is an outcome too: the caller may mend the cause and send the same again.
    const refused = fromFastify(error).kind.http < 500
    await freeOnce(services.ground, once, refused ? 'never' : 'changed').catch(() => {})
    throw error
  }
}

/** An answer as it is sent. */
interface Wire {
  readonly volatile?: boolean
  readonly status: number
  /** '' for none. */
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

function wireOf(route: V1Route<never>, { body, status, etag, volatile = false, location }: V1Answer): Wire {
  return {
    status: status ?? route.status ?? (route.answer === undefined ? 204 : 200),
    body: body === undefined ? '' : JSON.stringify(body),
    volatile,
    headers: { ...(location !== undefined && { location }), ...(etag !== undefined && { etag: `"${etag}"` }) },
  }
}

async function send({ status, body, volatile = false, headers }: Wire, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  void reply.headers(headers)
  if (body === '') return await reply.code(status).send()
  if (
    request.method === 'GET' &&
    !volatile &&
    headers['etag'] !== undefined &&
    headerOf(request, 'if-none-match')?.split(/, */).includes(headers['etag'])
  )
    return await reply.code(304).send()
  return await reply.code(status).type('application/json').send(body)
}

/** The answer to a request that was executed before; undefined if it was not. A lost answer is rebuilt where it can be. */
async function replayed<S extends V1Services>(
  { api, services }: Asked<S>,
  scope: Scope,
  { once, sealedBy }: { readonly once: Once; readonly sealedBy: string },
): Promise<Wire | undefined> {
  const earlier = await beginOnce(services.ground, once)
  if (earlier === undefined) return undefined
  const { answer: kept, object } = earlier
  const body = kept === undefined || !kept.sealed ? kept?.body : unseal(kept.body, sealedBy)
  if (kept !== undefined && body !== undefined) return { status: kept.status, body, headers: kept.headers }
  const retold = object === undefined ? undefined : api.retold[object.kind]
  if (object !== undefined && retold !== undefined) {
    const { status, body: rebuilt } = await retold(services, scope, object.name)
    return { status, body: JSON.stringify(rebuilt), headers: {} }
  }
  throw new SlipwayError(
    'SLW_CONFLICT',
    `the request with the Idempotency-Key "${once.key}" was executed${object === undefined ? '' : ` (${object.kind} ${object.name})`}, and its answer ${kept === undefined ? 'got lost' : 'is for the credentials of then'}: look at what it has changed before you send another`,
  )
}

function onceOf(
  request: FastifyRequest,
  { method, path, takesBytes }: V1Route<never>,
  { text, caller, environment }: { readonly text: string; readonly caller: Principal; readonly environment: string },
): Once | undefined {
  const key = headerOf(request, 'idempotency-key')
  // The same bytes are the same content, however often they come.
  if (key === undefined || method === 'GET' || takesBytes === true) return undefined
  if (key === '' || key.length > 255) throw new SlipwayError('SLW_INPUT_INVALID', 'the Idempotency-Key has 1 to 255 characters')
  const digest = createHash('sha256').update(`${method} ${path} ${request.url}\n${text}`).digest('hex')
  // The key of a caller is one of each environment and route: what another route was asked under the same key is no repetition.
  return { caller: `${callerId(caller)} ${environment} ${method} ${path}`, key, digest, attempt: randomUUID() }
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** Decodes a header: characters beyond ASCII come percent-encoded. */
function decoded(text: string): string {
  try {
    return firstCharacters(decodeURIComponent(text), 10_000)
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
  // A client that is still sending would not read the answer: the rest is read and discarded.
  body.resume()
  throw new SlipwayError('SLW_BODY_TOO_LARGE', `the body is larger than ${BODY_BYTES_MAX} bytes`)
}

const BODY_BYTES_MAX = 8 * 1024 * 1024

function parsed(text: string): unknown {
  requireModest(text)
  try {
    return text === '' ? {} : JSON.parse(text)
  } catch (error) {
    throw new SlipwayError('SLW_BAD_REQUEST', `the body is no JSON: ${(error as Error).message}`)
  }
}

function checked(schema: V1Route<never>['query'], value: unknown, what: string): unknown {
  if (schema === undefined) return {}
  const found = check(schema, value)
  if ('value' in found) return found.value
  const first = found.issues[0]
  const place = first === undefined || first.path === '' ? what : first.path
  throw new SlipwayError('SLW_INPUT_INVALID', `${place}: ${first?.message ?? 'is not what was expected'}`, { issues: found.issues })
}

/** The methods that each path accepts, for the answer to other methods. */
function methodsByPath(routes: readonly V1Route<never>[]): { readonly pattern: RegExp; readonly methods: string }[] {
  const byPath = [...Map.groupBy([...routes, { path: '/openapi.json', method: 'GET' }], ({ path }) => path)]
  // `/servers/join` comes before `/servers/:server`.
  const parameters = (path: string): number => path.split(':').length
  return byPath
    .toSorted(([a], [b]) => parameters(a) - parameters(b))
    .map(([path, same]) => ({
      pattern: new RegExp(`^/api/v1${path.replaceAll(/:\w+/g, '[^/]+').replace('*', '.+')}/?$`),
      methods: same.map(({ method }) => method).join(', '),
    }))
}
