import { Type } from 'typebox'
import { KeyAnswer, NewKeyBody } from '../../contract/registry-api.ts'
import { isAdminOf, requireAdminOf } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import type { KeyInfo } from '../../access/keys.ts'
import type { Principal } from '../access.ts'
import type { V1Route } from './route.ts'
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

export const KEY_ROUTES: readonly V1Route<KeyServices>[] = [
  v1Route({
    method: 'GET',
    path: '/keys',
    operation: 'listKeys',
    summary: 'What is known of the keys; never a key itself',
    tag,
    action: 'admin',
    answer: Type.Object({ items: Type.Array(KeyAnswer), total: Type.Integer() }),
    handle: async ({ services, caller }) => {
      const items = (await services.keys.list()).filter(({ environments }) => isAdminOf(caller, environments)).map(keyAnswer)
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/keys',
    operation: 'createKey',
    summary: 'Make a key, which is in the answer, and told never again. With the first one nothing is open without a key any more',
    tag,
    action: 'admin',
    body: NewKeyBody,
    answer: KeyAnswer,
    status: 201,
    handle: async ({ services, scope, body, caller }) => {
      // Nobody makes a key that is valid where they are no admin.
      requireAdminOf(caller, body.environments)
      const { key, info } = await services.keys.create({ ...scope, once: undefined }, body)
      return { body: { ...keyAnswer(info), key }, status: 201 }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/keys/:id/rotate',
    operation: 'rotateKey',
    summary: 'Make a key with the same name and scopes; the old one ends after a while, so that both hold meanwhile',
    tag,
    action: 'admin',
    body: Type.Object(
      { overlapMs: Type.Optional(Type.Integer({ minimum: 0, description: 'How long the old one goes on. Default: an hour.' })) },
      { additionalProperties: false },
    ),
    answer: KeyAnswer,
    status: 201,
    handle: async ({ services, scope, params, body, caller }) => {
      await requireKeeperOf(services, caller, params['id']!)
      const { key, info } = await services.keys.rotate({ ...scope, once: undefined }, params['id']!, body.overlapMs ?? 3600_000)
      return { body: { ...keyAnswer(info), key }, status: 201 }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/keys/:id',
    operation: 'revokeKey',
    summary: 'End a key',
    tag,
    action: 'admin',
    handle: async ({ services, params, caller }) => {
      await requireKeeperOf(services, caller, params['id']!)
      await services.keys.revoke(params['id']!)
      return {}
    },
  }),
]
