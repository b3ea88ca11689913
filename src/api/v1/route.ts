import type { Static, TSchema } from 'typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Scope } from '../../ledger/scope.ts'
import type { Action, Resource } from '../../contract/roles.ts'
import type { Principal } from '../access.ts'

/** One call of a route, checked against its schemas. @typeParam Services what the route asks */
export interface V1Call<Services, Query = unknown, Body = unknown> {
  readonly services: Services
  readonly scope: Scope
  readonly caller: Principal
  /** Of the path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  /** What If-Match says, without quotes; undefined where it is not there. */
  readonly ifMatch: string | undefined
  readonly request: FastifyRequest
  /** Whether the caller may still do this: for answers that last. */
  readonly stillMay: () => Promise<boolean>
}

/** What a route answers. */
export interface V1Answer<Body = unknown> {
  readonly body?: Body
  /** Default: that of the route. */
  readonly status?: number
  /** Of the object, without quotes. */
  readonly etag?: string
  readonly location?: string
}

/** One route: what it is, what it needs of a caller, takes and gives. The description of the API is made of these. */
export interface V1Route<Services> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below `/api/v1`, parameters with a colon. */
  readonly path: string
  /** For programs that are made from the description. */
  readonly operation: string
  readonly summary: string
  readonly tag: string
  readonly action: Action
  /** Models that a call is about. Default: that of the path; without one the environment as a whole. */
  readonly models?: (call: Named<Services, any, any>) => Resource['models'] | Promise<Resource['models']>
  readonly query?: TSchema
  readonly body?: TSchema
  /** Bytes instead of JSON. */
  readonly takesBytes?: boolean
  readonly answer?: TSchema
  /** Of success. Default: 200, or 204 without an answer. */
  readonly status?: number
  /** Of further answers that are no errors. */
  readonly alsoStatus?: number
  readonly handle: (call: V1Call<Services>, reply: FastifyReply) => Promise<V1Answer>
}

/** What is known of a call before it is let in. */
interface Named<Services, Query, Body> extends Pick<V1Call<Services, Query, Body>, 'services' | 'params' | 'query' | 'body'> {
  readonly environment: string
}

/** What may be written as a T: it is not changed any more, and what is undefined is left out of JSON. */
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

/** Makes routes whose handlers know what their schemas say. @typeParam Services what they ask */
export function v1RoutesOf<Services>() {
  return <Q extends TSchema, B extends TSchema, A extends TSchema>(route: Typed<Services, Q, B, A>): V1Route<Services> =>
    route as unknown as V1Route<Services>
}
