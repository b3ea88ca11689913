import { isSlipwayError } from '../core/errors.ts'
import { callerOn, credentialOf, requirePermission } from './access.ts'
import { environmentOf } from './environment-prefix.ts'
import { countWrongKey } from './rate-limits.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Action, Resource } from '../contract/roles.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Access, Principal, Identity } from './access.ts'
import type { Environments } from '../ledger/environments.ts'
import type { Refusals } from '../access/refusals.ts'

/** What the way in asks. */
export interface EntryServices {
  readonly access: Access
  readonly environments: Environments
}

/** What a call needs, and what it is about. */
export interface Needed {
  readonly action: Action
  /** Models that it is about, where that is known; `any`: whoever may do it to some model may do it. Default: none. */
  readonly models?: Resource['models']
}

/** Who a request was found to be of, for the record of those that are refused. */
const KNOWN = Symbol('who a request is of')
type Known = FastifyRequest & { [KNOWN]?: { name: string; environment: string }; [IDENTITY]?: Identity }
const IDENTITY = Symbol('who a request is of, found out before its body was read')

/**
 * The way in of every route: who is calling, which environment they mean, and whether they may.
 * @throws SLW_UNAUTHENTICATED, SLW_FORBIDDEN, SLW_HOST_NOT_ALLOWED, SLW_NOT_FOUND
 */
export async function enter(
  services: EntryServices,
  request: FastifyRequest,
  { action, models = [] }: Needed,
): Promise<{ caller: Principal; scope: Scope }> {
  const known = ((request as Known)[KNOWN] = { name: '', environment: '' })
  const identity = (request as Known)[IDENTITY] ?? (await identify(services, request))
  known.name = identity.name
  const environment = await environmentOf(request.raw, services.environments)
  known.environment = environment
  const target = { environment, models }
  const caller = callerOn(identity, target)
  requirePermission(caller, action, target)
  return { caller, scope: { environment, actor: caller.name } }
}

/** Asked again of what lasts: whether its caller still may. */
export async function stillMay(services: EntryServices, request: FastifyRequest, { action, models = [] }: Needed): Promise<boolean> {
  try {
    const environment = await environmentOf(request.raw, services.environments)
    return callerOn(await services.access.identityOf(request), { environment, models }).may(action)
  } catch (error) {
    if (isSlipwayError(error) && error.kind.http < 500) return false
    throw error
  }
}

/** Whoever is nobody is refused before a body of theirs is read. Parts of files come without credentials: their address is one. */
export function refuseStrangers(app: FastifyInstance, services: EntryServices): void {
  app.addHook('onRequest', async (request) => {
    ;(request as Known)[IDENTITY] = await identify(services, request)
  })
}

const REFUSED = new Set(['SLW_UNAUTHENTICATED', 'SLW_FORBIDDEN', 'SLW_HOST_NOT_ALLOWED', 'SLW_RATE_LIMITED'])

/** Has every refused call noted, wherever on its way it was refused. */
export function noteRefusals(app: FastifyInstance, { refusals }: { readonly refusals: Refusals }): void {
  app.addHook('onError', async (request, _reply, error) => {
    if (!isSlipwayError(error) || !REFUSED.has(error.code)) return
    const { name: caller = '', environment = '' } = (request as Known)[KNOWN] ?? {}
    const route = `${request.method} ${request.routeOptions.url ?? request.url.split('?', 1)[0]!}`
    refusals.note({ caller, address: request.ip, route, environment, code: error.code })
  })
}

/** Whoever shows what is no key is held to a few tries a minute. */
async function identify({ access }: EntryServices, request: FastifyRequest): Promise<Identity> {
  try {
    return await access.identityOf(request)
  } catch (error) {
    const tried = credentialOf(request.headers, access.secure) !== undefined
    if (tried && isSlipwayError(error) && error.code === 'SLW_UNAUTHENTICATED') await countWrongKey(request)
    throw error
  }
}
