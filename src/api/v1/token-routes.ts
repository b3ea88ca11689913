import { Type } from 'typebox'
import { OwnTokenBody } from '../../contract/access-api.ts'
import { KeyAnswer, pageOfThings, PageQuery } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { keyAnswer } from './key-routes.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import { seenFields } from './seen.ts'
import { byCreation, pageOfAll } from './page-token.ts'
import type { Principal } from '../access.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { KeyInfo, Keys } from '../../access/keys.ts'
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

/** @throws SLW_NOT_FOUND for the token of somebody else */
async function ownToken({ keys }: TokenServices, caller: Principal, id: string): Promise<KeyInfo> {
  const person = personOf(caller)
  const own = await keys.get(id)
  if (own?.personId !== person) throw new SlipwayError('SLW_NOT_FOUND', `no token of yours has the id ${id}`)
  return own
}

export const TOKEN_ROUTES: readonly V1Route<TokenServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/tokens',
    operation: 'listOwnTokens',
    summary: "The caller's own tokens",
    tag,
    action: 'identify',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(KeyAnswer),
    handle: async ({ services, caller, query }) => {
      const person = personOf(caller)
      const all = (await services.keys.list()).filter(({ personId }) => personId === person).map(keyAnswer)
      return { body: pageOfAll('tokens', all, { ...query, placeOf: byCreation }) }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/tokens/:token',
      operation: 'getOwnToken',
      summary: "One of the caller's own tokens",
      tag,
      action: 'identify',
      answer: KeyAnswer,
      handle: async ({ services, params, caller }) => {
        const own = await ownToken(services, caller, params['token']!)
        return { body: keyAnswer(own), etag: own.etag }
      },
    }),
  ),
  v1Route({
    method: 'POST',
    path: '/tokens',
    operation: 'createOwnToken',
    secret: true,
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
      const { key, info } = await services.keys.create(scope, { name: body.name, scopes: ['person'], expiresAt, personId })
      return { body: { ...keyAnswer(info), key }, etag: info.etag, location: `/api/v1/tokens/${info.id}` }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/tokens/:token',
    operation: 'revokeOwnToken',
    conditional: true,
    summary: "End one of the caller's own tokens",
    tag,
    action: 'identify',
    handle: async (call) => {
      const own = await ownToken(call.services, call.caller, call.params['token']!)
      await call.services.keys.revoke(seenFields(call), own.id)
      return {}
    },
  }),
]
