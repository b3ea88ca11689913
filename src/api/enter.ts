import { isSlipwayError } from '../core/errors.ts'
import { callerOn, credentialOf, requirePermission } from './access.ts'
import { environmentOf } from './environment-prefix.ts'
import { goneSignal } from './gone.ts'
import { countWrongKey } from './rate-limits.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Action, Resource } from '../contract/roles.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Access, Principal, Identity } from './access.ts'
import type { Environments } from '../ledger/environments.ts'
import type { Refusals } from '../access/refusals.ts'

/** Services that the entry check uses. */
export interface EntryServices {
  readonly access: Access
  readonly environments: Environments
}

/** The action that a call needs, and its target. */
export interface Needed {
  readonly action: Action
  /** Models that the call is about, where known; `any`: the right for some model is enough. Default: none. */
  readonly models?: Resource['models']
}

/** Caller of a request, for the record of refused calls. */
const KNOWN = Symbol('who a request is of')
type Known = FastifyRequest & { [KNOWN]?: { name: string; environment: string }; [IDENTITY]?: Identity }
const IDENTITY = Symbol('who a request is of, found out before its body was read')

/**
 * The entry check of every route: the caller, the environment, and the permission.
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
  return { caller, scope: { environment, actor: caller.name, signal: goneSignal(request) } }
}

/** Whether the caller of a long-lasting answer still has the permission. */
export async function stillMay(services: EntryServices, request: FastifyRequest, { action, models = [] }: Needed): Promise<boolean> {
  try {
    const environment = await environmentOf(request.raw, services.environments)
    return callerOn(await services.access.identityOf(request), { environment, models }).may(action)
  } catch (error) {
    if (isSlipwayError(error) && error.kind.http < 500) return false
    throw error
  }
}

/** Refuses unauthenticated calls before their body is read. Not for parts of files, whose address is the credential. */
export function refuseStrangers(app: FastifyInstance, services: EntryServices): void {
  app.addHook('onRequest', async (request) => {
    ;(request as Known)[IDENTITY] = await identify(services, request)
  })
}

const REFUSED = new Set(['SLW_UNAUTHENTICATED', 'SLW_FORBIDDEN', 'SLW_HOST_NOT_ALLOWED', 'SLW_RATE_LIMITED'])

/** Records every refused call, wherever it was refused. */
export function noteRefusals(app: FastifyInstance, { refusals }: { readonly refusals: Refusals }): void {
  app.addHook('onError', async (request, _reply, error) => {
    if (!isSlipwayError(error) || !REFUSED.has(error.code)) return
    const { name: caller = '', environment = '' } = (request as Known)[KNOWN] ?? {}
    const route = `${request.method} ${request.routeOptions.url ?? request.url.split('?', 1)[0]!}`
    refusals.note({ caller, address: request.ip, route, environment, code: error.code })
  })
}

/** Authenticates a caller; tries with invalid keys are limited per minute. */
async function identify({ access }: EntryServices, request: FastifyRequest): Promise<Identity> {
  try {
    return await access.identityOf(request)
  } catch (error) {
    const tried = credentialOf(request.headers, access.secure) !== undefined
    if (tried && isSlipwayError(error) && error.code === 'SLW_UNAUTHENTICATED') await countWrongKey(request)
    throw error
  }
}
