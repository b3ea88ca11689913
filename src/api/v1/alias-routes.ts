import { Type } from 'typebox'
import { AliasAnswer, AliasBody, AliasHistoryAnswer } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { eventAnswer } from './event-answer.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import type { V1Answer, V1Call, V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Models } from '../../models/models.ts'
import type { Aliases } from '../../models/aliases.ts'
import type { History } from '../../ledger/history.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface AliasServices {
  readonly models: Models
  readonly aliases: Aliases
  readonly history: History
  readonly ground: Ground
}

const v1Route = v1RoutesOf<AliasServices>()

const tag = 'aliases'
const ALIAS = '/models/:model/aliases/:alias'

/** The ETag of an alias is the version that it points to. */
function answered(model: string, alias: string, version: number): V1Answer<AliasAnswer> {
  return { body: { model, alias, version }, etag: String(version) }
}

/** If-Match of an alias: the number of the version that it points to; `none` (for If-None-Match: *) where it must not exist. */
function expectedOf({ ifMatch, request }: V1Call<AliasServices>): number | 'none' | undefined {
  if (request.headers['if-none-match'] === '*') return 'none'
  if (ifMatch === undefined) return undefined
  if (/^\d{1,15}$/.test(ifMatch)) return Number(ifMatch)
  throw new SlipwayError('SLW_PRECONDITION_FAILED', `If-Match: "${ifMatch}" is no ETag of an alias`)
}

export const ALIAS_ROUTES: readonly V1Route<AliasServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/models/:model/aliases',
    operation: 'listAliases',
    summary: 'The aliases of a model',
    tag,
    action: 'read',
    answer: Type.Object({ items: Type.Array(AliasAnswer), total: Type.Integer() }),
    handle: async ({ services, scope, params }) => {
      const { name, aliases } = await services.models.get(scope, params['model']!)
      return { body: { items: aliases.map(({ alias, version }) => ({ model: name, alias, version })), total: aliases.length } }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: ALIAS,
      operation: 'getAlias',
      summary: 'The version that an alias points to',
      tag,
      action: 'read',
      answer: AliasAnswer,
      handle: async ({ services, scope, params }) => {
        const [model, alias] = [params['model']!, params['alias']!]
        const version = await services.aliases.resolve(scope, model, alias)
        if (version === undefined) throw new SlipwayError('SLW_NOT_FOUND', `model "${model}" has no alias "${alias}"`)
        return answered(model, alias, version.number)
      },
    }),
  ),
  v1Route({
    method: 'PUT',
    path: ALIAS,
    operation: 'setAlias',
    conditional: true,
    summary: 'Point an alias to a version. Refused where it is protected, gated, or would break what it promised',
    tag,
    action: 'write',
    body: AliasBody,
    answer: AliasAnswer,
    handle: async (call) => {
      const { services, caller, params, body } = call
      const [model, alias] = [params['model']!, params['alias']!]
      const wanted = { alias, version: String(body.version), allowBreaking: body.allowBreaking, expected: expectedOf(call) }
      const scope = body.reason === undefined ? call.scope : { ...call.scope, reason: body.reason }
      await services.aliases.set(scope, model, wanted, { protect: caller.may('protect') })
      return answered(model, alias, body.version)
    },
  }),
  v1Route({
    method: 'DELETE',
    path: ALIAS,
    operation: 'deleteAlias',
    conditional: true,
    summary: 'Take an alias away',
    tag,
    action: 'write',
    handle: async (call) => {
      const { services, scope, caller, params } = call
      const wanted = { alias: params['alias']!, expected: expectedOf(call) }
      await services.aliases.remove(scope, params['model']!, wanted, { protect: caller.may('protect') })
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: `${ALIAS}/history`,
    operation: 'aliasAt',
    summary: 'Which version an alias pointed to at a moment, and who had seen to that',
    tag,
    action: 'read',
    query: Type.Object(
      { at: Type.Optional(Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds. Default: now.' })) },
      { additionalProperties: false },
    ),
    answer: AliasHistoryAnswer,
    handle: async ({ services, scope, params, query }) => {
      const at = query.at ?? services.ground.clock.epochMs()
      const { since, version, model, alias } = await services.history.aliasAt(scope, params['model']!, params['alias']!, at)
      return {
        body: { model, alias, at, ...(version !== undefined && { version }), ...(since !== undefined && { since: eventAnswer(since) }) },
      }
    },
  }),
]
