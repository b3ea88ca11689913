import { Type } from 'typebox'
import { OwnTokenBody } from '../../contract/access-api.ts'
import { KeyAnswer } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { keyAnswer } from './key-routes.ts'
import { v1RoutesOf } from './route.ts'
import type { Principal } from '../access.ts'
import type { V1Route } from './route.ts'
import type { Keys } from '../../access/keys.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface TokenServices {
  readonly keys: Keys
  readonly ground: Ground
}

const v1Route = v1RoutesOf<TokenServices>()

const tag = 'tokens'
const LIFE_MS = 90 * 24 * 3600 * 1000
/** Scope of a token of `slipway login`, which may make other tokens, as a session may; those may not. */
export const LOGIN_SCOPE = 'login'

/** @throws SLW_FORBIDDEN for a caller that is no person */
function personOf({ personId, name, kind }: Principal): string {
  if (personId !== undefined) return personId
  throw new SlipwayError('SLW_FORBIDDEN', `${kind} "${name}" is no person who has signed in: machines get keys (POST /keys)`)
}

export const TOKEN_ROUTES: readonly V1Route<TokenServices>[] = [
  v1Route({
    method: 'GET',
    path: '/tokens',
    operation: 'listOwnTokens',
    summary: "The caller's own tokens",
    tag,
    action: 'identify',
    answer: Type.Object({ items: Type.Array(KeyAnswer), total: Type.Integer() }),
    handle: async ({ services, caller }) => {
      const person = personOf(caller)
      const items = (await services.keys.list()).filter(({ personId }) => personId === person).map(keyAnswer)
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
    handle: async ({ services, scope, body, caller }) => {
      const personId = personOf(caller)
      const shown = caller.keyId === undefined ? undefined : await services.keys.get(caller.keyId)
      if (shown !== undefined && !shown.scopes.includes(LOGIN_SCOPE))
        throw new SlipwayError('SLW_FORBIDDEN', 'a token does not make tokens: sign in with slipway login')
      const latest = services.ground.clock.epochMs() + LIFE_MS
      const expiresAt = Math.min(body.expiresAt ?? latest, latest)
      const { key, info } = await services.keys.create(
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
    handle: async ({ services, params, caller }) => {
      const person = personOf(caller)
      const own = await services.keys.get(params['token']!)
      if (own?.personId !== person) throw new SlipwayError('SLW_NOT_FOUND', `no token of yours has the id ${params['token']}`)
      await services.keys.revoke(own.id)
      return {}
    },
  }),
]
