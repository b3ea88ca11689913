import { SlipwayError } from '../../core/errors.ts'
import { bearerOf } from '../../security/bearer.ts'
import type { ApiKeys, KeyHolder, KeyScope } from '../../security/api-keys.ts'
import type { Params, RouteAccess } from './routes.ts'

/** Checks the admin token. */
export interface AdminGuard {
  /** @param authorization the header as it came. @throws SLW_UNAUTHENTICATED, SLW_FORBIDDEN */
  check(authorization: string | undefined): void
}

/** Checks of who may use the server. */
export interface AccessOptions {
  /** Undefined: every client may predict and read metrics. */
  readonly keys?: Pick<ApiKeys, 'caller'> | undefined
  /** Undefined: nobody may administer. */
  readonly adminGuard?: AdminGuard | undefined
}

/** A request that wants to come in, over any protocol. */
export interface Entering {
  /** Address of the client, or the word for a Unix socket. */
  readonly from: string
  /** Whether it may change something, as far as its method says. */
  readonly changes: boolean
  header(name: string): string | undefined
  letIn(caller: KeyHolder): void
  administers(call: { readonly from: string }): void
}

/**
 * Lets a request in, before its body is read, and gives the exchange the holder of its key.
 * @throws SLW_UNAUTHENTICATED, SLW_FORBIDDEN
 */
export function requireAccess(options: AccessOptions, exchange: Entering, needed: RouteAccess, params: Params): void {
  if (needed === 'open') return
  if (needed === 'admin') {
    exchange.administers({ from: exchange.from })
    if (options.adminGuard === undefined)
      throw new SlipwayError('SLW_FORBIDDEN', 'administration is off: set SLIPWAY_ADMIN_TOKEN or adminTokenFile (--admin-token-file)')
    options.adminGuard.check(exchange.header('authorization'))
    return
  }
  if (needed === 'platform') {
    refuseOtherSites(exchange)
    // A platform lists its models again and again: only what changes something is one for the audit.
    if (exchange.changes) exchange.administers({ from: exchange.from })
    if (options.adminGuard !== undefined) {
      options.adminGuard.check(exchange.header('authorization'))
      return
    }
  }
  if (options.keys === undefined) return
  const caller = callerOf(options.keys, exchange)
  exchange.letIn(caller)
  requireScope(caller, needed === 'platform' ? 'predict' : needed)
  const model = params['name']
  if (model !== undefined) requireModel(caller, model)
}

/** A page of another site may send requests to this machine from a browser on it; no platform is a browser. */
function refuseOtherSites(exchange: Entering): void {
  const site = exchange.header('sec-fetch-site')
  if (site === undefined || site === 'same-origin' || site === 'none') return
  throw new SlipwayError('SLW_FORBIDDEN', 'models are not managed by pages of other sites')
}

function callerOf(keys: Pick<ApiKeys, 'caller'>, exchange: Entering): KeyHolder {
  const key = bearerOf(exchange.header('authorization')) ?? exchange.header('x-api-key')
  if (key === undefined)
    throw new SlipwayError('SLW_UNAUTHENTICATED', 'this server wants an API key: send Authorization: Bearer KEY, or X-API-Key: KEY')
  const caller = keys.caller(key)
  if (caller === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', 'the API key is not one that this server knows')
  return caller
}

/** @throws SLW_FORBIDDEN */
export function requireScope(caller: KeyHolder, scope: KeyScope): void {
  if (caller.scopes.has(scope)) return
  throw new SlipwayError(
    'SLW_FORBIDDEN',
    `the API key "${caller.name}" has not the scope ${scope}; it has ${[...caller.scopes].join(', ')}`,
  )
}

/**
 * Refuses a model that a key is not for. The answer is the same whether such a model exists or not.
 * @throws SLW_FORBIDDEN
 */
export function requireModel(caller: KeyHolder | undefined, model: string): void {
  if (permits(caller, model)) return
  throw new SlipwayError('SLW_FORBIDDEN', `the API key "${caller?.name}" is not for the model "${model}"`)
}

/** Whether a caller may know of a model. */
export function permits(caller: KeyHolder | undefined, model: string): boolean {
  return caller?.models === undefined || caller.models.has(model)
}
