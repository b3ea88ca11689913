import { ProblemAnswer } from '../../contract/registry-api.ts'
import { slipwayVersion } from '../../core/version.ts'
import type { TSchema } from 'typebox'
import type { V1Route } from './route.ts'

type Json = Record<string, unknown>

/** The description of the API (OpenAPI 3.1), from the schemas that validate requests. */
export function openApi(routes: readonly V1Route<never>[]): Json {
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{path}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Slipway registry',
      version: slipwayVersion(),
      description:
        'Models, versions, aliases, runs and what happened to them. `/env/NAME` before the path means another environment. ' +
        'Errors are problem+json with a code; changes take an `Idempotency-Key`, and `If-Match` where there is something to compare; `Slipway-Reason` goes into the record.',
    },
    servers: [{ url: '/api/v1' }],
    security: [{ key: [] }],
    paths,
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'An API key. On loopback, while there is none, none is asked for.' },
      },
      schemas: { Problem: ProblemAnswer },
    },
  }
}

function operationOf(route: V1Route<never>): Json {
  const inPath = [...route.path.matchAll(/:(\w+)|\*/g)].map(([, name]) => ({
    name: name ?? 'path',
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const { properties = {}, required = [] } = (route.query ?? {}) as { properties?: Record<string, Json>; required?: string[] }
  const inQuery = Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description !== undefined && { description }),
    schema,
  }))
  const success = route.status ?? (route.answer === undefined && route.answerTypes === undefined ? 204 : 200)
  return {
    operationId: route.operation,
    summary: route.summary,
    tags: [route.tag],
    'x-slipway-scope': route.action,
    parameters: [...inPath, ...inQuery, ...headersOf(route)],
    ...(route.body !== undefined && { requestBody: { required: true, content: { 'application/json': { schema: route.body } } } }),
    ...(route.takesBytes === true && {
      requestBody: { required: true, content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } },
    }),
    responses: {
      [success]: answerOf(route.answer, route.answerTypes),
      ...(route.alsoStatus !== undefined && { [route.alsoStatus]: answerOf(route.answer) }),
      default: { description: 'An error.', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } },
    },
  }
}

function headersOf({ method, takesBytes, conditional }: V1Route<never>): Json[] {
  const header = (name: string, description: string): Json => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  })
  if (method === 'GET') return []
  return [
    ...(takesBytes === true ? [] : [header('Idempotency-Key', 'The same request with the same key is done once.')]),
    header('Slipway-Reason', 'Why, for the record; percent-encoded.'),
    ...(conditional !== true ? [] : [header('If-Match', 'The ETag that was read: what has changed since is not changed.')]),
  ]
}

function answerOf(schema: TSchema | undefined, types: readonly string[] = []): Json {
  if (types.length > 0) {
    const bytes = { schema: { type: 'string', format: 'binary' } }
    return { description: 'Done.', content: Object.fromEntries(types.map((type) => [type, bytes])) }
  }
  if (schema === undefined) return { description: 'Done.' }
  return { description: 'Done.', content: { 'application/json': { schema } } }
}
