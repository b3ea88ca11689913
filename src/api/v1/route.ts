import type { Static, TSchema } from 'typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Scope } from '../../ledger/scope.ts'
import type { Action, Resource } from '../../contract/roles.ts'
import type { Principal } from '../access.ts'

/** One call of a route, checked against its schemas. @typeParam Services that the route uses */
export interface V1Call<Services, Query = unknown, Body = unknown> {
  readonly services: Services
  readonly scope: Scope
  readonly caller: Principal
  /** Parameters of the path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  /** ETag of If-Match, without quotes; undefined without the header. */
  readonly ifMatch: string | undefined
  readonly request: FastifyRequest
  /** Whether the caller still has the permission: for long-lasting answers. */
  readonly stillMay: () => Promise<boolean>
}

/** Answer of a route. */
export interface V1Answer<Body = unknown> {
  readonly body?: Body
  /** Default: that of the route. */
  readonly status?: number
  /** ETag of the object, without quotes. */
  readonly etag?: string
  /** Whether the answer changes without its ETag, so that no 304 may be sent. Default: no. */
  readonly volatile?: boolean
  readonly location?: string
}

/** One route: its path, the action a caller needs, its input and its answer. The OpenAPI description is made from these. */
export interface V1Route<Services> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below `/api/v1`, parameters with a colon. */
  readonly path: string
  /** Operation id, for clients that are generated from the description. */
  readonly operation: string
  readonly summary: string
  readonly tag: string
  readonly action: Action
  /** Models that a call is about. Default: the model of the path; without one the environment as a whole. */
  readonly models?: (call: Named<Services, any, any>) => Resource['models'] | Promise<Resource['models']>
  readonly query?: TSchema
  readonly body?: TSchema
  /** Whether the body is bytes instead of JSON. */
  readonly takesBytes?: boolean
  readonly answer?: TSchema | undefined
  /** Media types of an answer that is bytes. Default: it is JSON. */
  readonly answerTypes?: readonly string[]
  /** Whether `If-Match` is honoured, also by a POST that changes an object. Default: no; a change with it is refused. */
  readonly conditional?: boolean
  /** Whether a secret is in the answer, which is then kept for repetitions in a form that only the caller can read. Default: no. */
  readonly secret?: boolean
  /** Status of success. Default: 200, or 204 without an answer. */
  readonly status?: number
  /** Status of a further answer that is no error. */
  readonly alsoStatus?: number
  readonly handle: (call: V1Call<Services>, reply: FastifyReply) => Promise<V1Answer>
}

/** The parts of a call that are known before its permission is checked. */
interface Named<Services, Query, Body> extends Pick<V1Call<Services, Query, Body>, 'services' | 'params' | 'query' | 'body'> {
  readonly environment: string
}

/** A value that can be written as a T: readonly, and undefined fields are left out of the JSON. */
type Written<T> = T extends readonly (infer Item)[]
  ? readonly Written<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: object extends Pick<T, Key> ? Written<T[Key]> | undefined : Written<T[Key]> }
    : T

interface Typed<Services, Q extends TSchema, B extends TSchema, A extends TSchema> extends Omit<
  V1Route<Services>,
  'query' | 'body' | 'answer' | 'models' | 'handle'
> {
  readonly models?: (call: Named<Services, Static<Q>, Static<B>>) => Resource['models'] | Promise<Resource['models']>
  readonly query?: Q
  readonly body?: B
  readonly answer?: A
  readonly handle: (call: V1Call<Services, Static<Q>, Static<B>>, reply: FastifyReply) => Promise<V1Answer<Written<Static<A>>>>
}

/** Makes routes whose handlers are typed by their schemas. @typeParam Services that the routes use */
export function v1RoutesOf<Services>() {
  return <Q extends TSchema, B extends TSchema, A extends TSchema>(route: Typed<Services, Q, B, A>): V1Route<Services> =>
    route as unknown as V1Route<Services>
}
