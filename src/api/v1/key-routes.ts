import { Type } from 'typebox'
import { KeyAnswer, NewKeyBody, pageOfThings, PageQuery } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { isAdminOf, requireAdminOf } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import { seenFields } from './seen.ts'
import { byCreation, pageOfAll } from './page-token.ts'
import type { Static } from 'typebox'
import type { KeyInfo } from '../../access/keys.ts'
import type { Principal } from '../access.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Keys } from '../../access/keys.ts'

/** Services that these routes use. */
export interface KeyServices {
  readonly keys: Keys
}

const v1Route = v1RoutesOf<KeyServices>()

const tag = 'keys'

export function keyAnswer({
  scopes,
  environments,
  models,
  personId: _personId,
  expiresAt,
  lastUsedAt,
  revokedAt,
  ...rest
}: KeyInfo): KeyAnswer {
  return {
    ...rest,
    scopes: [...scopes],
    ...(environments !== undefined && { environments: [...environments] }),
    ...(models !== undefined && { models: [...models] }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(lastUsedAt !== undefined && { lastUsedAt }),
    ...(revokedAt !== undefined && { revokedAt }),
  }
}

/** A key is managed by admins of every environment in which it is valid. @throws SLW_FORBIDDEN */
async function requireKeeperOf({ keys }: KeyServices, caller: Principal, id: string): Promise<void> {
  const key = await keys.get(id)
  if (key !== undefined) requireAdminOf(caller, key.environments)
}

export const KEY_ROUTES: readonly V1Route<KeyServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/keys',
    operation: 'listKeys',
    summary: 'What is known of the keys; never a key itself',
    tag,
    action: 'admin',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(KeyAnswer),
    handle: async ({ services, caller, query }) => {
      const all = (await services.keys.list()).filter(({ environments }) => isAdminOf(caller, environments)).map(keyAnswer)
      return { body: pageOfAll('keys', all, { ...query, placeOf: byCreation }) }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/keys/:id',
      operation: 'getKey',
      summary: 'What is known of a key; never the key itself',
      tag,
      action: 'admin',
      answer: KeyAnswer,
      handle: async ({ services, caller, params }) => {
        const found = await services.keys.get(params['id']!)
        if (found === undefined || !isAdminOf(caller, found.environments))
          throw new SlipwayError('SLW_NOT_FOUND', `no key has the id ${params['id']}`)
        return { body: keyAnswer(found), etag: found.etag }
      },
    }),
  ),
  v1Route({
    method: 'POST',
    path: '/keys',
    operation: 'createKey',
    secret: true,
    summary: 'Make a key, which is in the answer, and told never again. With the first one nothing is open without a key any more',
    tag,
    action: 'admin',
    body: NewKeyBody,
    answer: KeyAnswer,
    status: 201,
    handle: async ({ services, scope, body, caller }) => {
      // Nobody makes a key that is valid where they are no admin.
      requireAdminOf(caller, body.environments)
      if (caller.kind === 'local') requireKeyForAll(body)
      const { key, info } = await services.keys.create(scope, body)
      return { body: { ...keyAnswer(info), key }, etag: info.etag, location: `/api/v1/keys/${info.id}` }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/keys/:id/rotate',
    operation: 'rotateKey',
    secret: true,
    conditional: true,
    summary: 'Make a key with the same name and scopes; the old one ends after a while, so that both hold meanwhile',
    tag,
    action: 'admin',
    body: Type.Object(
      { overlapMs: Type.Optional(Type.Integer({ minimum: 0, description: 'How long the old one goes on. Default: an hour.' })) },
      { additionalProperties: false },
    ),
    answer: KeyAnswer,
    status: 201,
    handle: async (call) => {
      const { services, params, body, caller } = call
      await requireKeeperOf(services, caller, params['id']!)
      const { key, info } = await services.keys.rotate(seenFields(call), params['id']!, body.overlapMs ?? 3600_000)
      return { body: { ...keyAnswer(info), key }, etag: info.etag, location: `/api/v1/keys/${info.id}` }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/keys/:id',
    operation: 'revokeKey',
    conditional: true,
    summary: 'End a key',
    tag,
    action: 'admin',
    handle: async (call) => {
      const id = call.params['id']!
      await requireKeeperOf(call.services, call.caller, id)
      await call.services.keys.revoke(seenFields(call), id)
      return {}
    },
  }),
]

/**
 * Who has no key makes the first one, and without a key nobody gets in from then on: the first one must be able to make the others.
 * @throws SLW_CONFLICT
 */
function requireKeyForAll({ scopes, environments, models, expiresAt }: Static<typeof NewKeyBody>): void {
  if (scopes.includes('admin') && environments === undefined && models === undefined && expiresAt === undefined) return
  throw new SlipwayError(
    'SLW_CONFLICT',
    'this would be the first key, and from then on nobody gets in without one: first make one of an admin that holds everywhere, of all models, without end (slipway token create NAME --role admin), keep it, and make this one with it',
  )
}
