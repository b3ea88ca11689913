import { isSlipwayError } from '../core/errors.ts'
import { callerOn, requirePermission } from './access.ts'
import { environmentOf } from './doors.ts'
import { countWrongKey } from './rate-limits.ts'
import type { FastifyRequest } from 'fastify'
import type { Action, Target } from '../contract/roles.ts'
import type { Scope } from '../registry/ground.ts'
import type { Caller, Identity } from './access.ts'
import type { ApiOptions } from './doors.ts'

/** What a call needs, and what it is about. */
export interface Needed {
  readonly action: Action
  /** Models that it is about, where that is known; `any`: whoever may do it to some model may do it. Default: none. */
  readonly models?: Target['models']
}

/**
 * The way in of every route: who is calling, which environment they mean, and whether they may. Whoever is refused is noted.
 * @throws SLW_UNAUTHENTICATED, SLW_FORBIDDEN, SLW_HOST_NOT_ALLOWED, SLW_NOT_FOUND
 */
export async function enter(
  options: ApiOptions,
  request: FastifyRequest,
  { action, models = [] }: Needed,
): Promise<{ caller: Caller; scope: Scope }> {
  let name = ''
  let environment = ''
  try {
    const identity = await identify(options, request)
    name = identity.name
    environment = await environmentOf(request.raw, options)
    const target = { environment, models }
    const caller = callerOn(identity, target)
    requirePermission(caller, action, target)
    return { caller, scope: { environment, actor: caller.name } }
  } catch (error) {
    if (isSlipwayError(error) && error.kind.http < 500)
      options.refusals.note({
        caller: name,
        address: request.ip,
        route: `${request.method} ${request.routeOptions.url ?? request.url.split('?', 1)[0]!}`,
        environment,
        code: error.code,
      })
    throw error
  }
}

/** Whoever shows what is no key is held to a few tries a minute. */
async function identify({ access }: ApiOptions, request: FastifyRequest): Promise<Identity> {
  try {
    return await access.identityOf(request)
  } catch (error) {
    const { authorization, cookie } = request.headers
    const tried = authorization !== undefined || cookie !== undefined
    if (tried && isSlipwayError(error) && error.code === 'SLW_UNAUTHENTICATED') await countWrongKey(request)
    throw error
  }
}
