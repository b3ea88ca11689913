import { Type } from 'typebox'
import { OwnTokenBody } from '../../contract/access-api.ts'
import { KeyAnswer } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { keyAnswer } from './key-routes.ts'
import { v1Route } from './route.ts'
import type { Caller } from '../access.ts'
import type { V1Route } from './route.ts'

const tag = 'tokens'
const LIFE_MS = 90 * 24 * 3600 * 1000
/** Of a token of `slipway login`: with it others may be made, as with a session; not with those. */
export const LOGIN_SCOPE = 'login'

/** @throws SLW_FORBIDDEN for who is no person */
function personOf({ personId, name, kind }: Caller): string {
  if (personId !== undefined) return personId
  throw new SlipwayError('SLW_FORBIDDEN', `${kind} "${name}" is no person who has signed in: machines get keys (POST /keys)`)
}

export const TOKEN_ROUTES: readonly V1Route[] = [
  v1Route({
    method: 'GET',
    path: '/tokens',
    operation: 'listOwnTokens',
    summary: "The caller's own tokens",
    tag,
    action: 'identify',
    answer: Type.Object({ items: Type.Array(KeyAnswer), total: Type.Integer() }),
    handle: async ({ options, caller }) => {
      const person = personOf(caller)
      const items = (await options.keys.list()).filter(({ personId }) => personId === person).map(keyAnswer)
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/tokens',
    operation: 'createOwnToken',
    summary: 'Make a token that may do what its owner may do, now and later. It is in the answer, and told never again',
    tag,
    action: 'identify',
    body: OwnTokenBody,
    answer: KeyAnswer,
    status: 201,
    handle: async ({ options, scope, body, caller }) => {
      const personId = personOf(caller)
      const shown = caller.keyId === undefined ? undefined : await options.keys.get(caller.keyId)
      if (shown !== undefined && !shown.scopes.includes(LOGIN_SCOPE))
        throw new SlipwayError('SLW_FORBIDDEN', 'a token does not make tokens: sign in with slipway login')
      const latest = options.registry.ground.clock.epochMs() + LIFE_MS
      const expiresAt = Math.min(body.expiresAt ?? latest, latest)
      const { key, info } = await options.keys.create(
        { ...scope, once: undefined },
        { name: body.name, scopes: ['person'], expiresAt, personId },
      )
      return { body: { ...keyAnswer(info), key } }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/tokens/:token',
    operation: 'revokeOwnToken',
    summary: "End one of the caller's own tokens",
    tag,
    action: 'identify',
    handle: async ({ options, params, caller }) => {
      const person = personOf(caller)
      const own = await options.keys.get(params['token']!)
      if (own?.personId !== person) throw new SlipwayError('SLW_NOT_FOUND', `no token of yours has the id ${params['token']}`)
      await options.keys.revoke(own.id)
      return {}
    },
  }),
]
