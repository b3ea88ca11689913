import { Type } from 'typebox'
import { KeyAnswer, NewKeyBody } from '../../contract/registry-api.ts'
import { v1Route } from './route.ts'
import type { KeyInfo } from '../../registry/keys.ts'
import type { V1Route } from './route.ts'

const tag = 'keys'

function answerOf({ scopes, environments, expiresAt, lastUsedAt, revokedAt, ...rest }: KeyInfo): KeyAnswer {
  return {
    ...rest,
    scopes: [...scopes],
    ...(environments !== undefined && { environments: [...environments] }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(lastUsedAt !== undefined && { lastUsedAt }),
    ...(revokedAt !== undefined && { revokedAt }),
  }
}

export const KEY_ROUTES: readonly V1Route[] = [
  v1Route({
    method: 'GET',
    path: '/keys',
    operation: 'listKeys',
    summary: 'What is known of the keys; never a key itself',
    tag,
    action: 'admin',
    answer: Type.Object({ items: Type.Array(KeyAnswer), total: Type.Integer() }),
    handle: async ({ options }) => {
      const items = (await options.keys.list()).map(answerOf)
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
    handle: async ({ options, scope, body }) => {
      const { key, info } = await options.keys.create({ ...scope, once: undefined }, body)
      return { body: { ...answerOf(info), key }, status: 201 }
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
    handle: async ({ options, scope, params, body }) => {
      const { key, info } = await options.keys.rotate({ ...scope, once: undefined }, params['id']!, body.overlapMs ?? 3600_000)
      return { body: { ...answerOf(info), key }, status: 201 }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/keys/:id',
    operation: 'revokeKey',
    summary: 'End a key',
    tag,
    action: 'admin',
    handle: async ({ options, params }) => {
      await options.keys.revoke(params['id']!)
      return {}
    },
  }),
]
