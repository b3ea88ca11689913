import { createHash, timingSafeEqual } from 'node:crypto'
import { allowedActions, allows } from '../contract/roles.ts'
import { SlipwayError } from '../core/errors.ts'
import { grantsOf } from '../access/keys.ts'
import { HostCheck } from '../security/host-check.ts'
import type { FastifyRequest } from 'fastify'
import type { Keys } from '../access/keys.ts'
import type { People } from '../access/people.ts'
import type { Action, ACTIONS, Grant, Resource } from '../contract/roles.ts'

export interface AccessOptions {
  readonly keys: Keys
  readonly people: People
  /** Bound to loopback: without keys and sign-in whoever is on this machine may do everything, and web pages nothing. */
  readonly local: boolean
  readonly secure: boolean
  /** Whether people sign in: then nobody gets in without. */
  readonly signIn: boolean
  readonly allowedHosts: readonly string[]
  /** Of the server that we have started ourselves. */
  readonly ownKey?: string | undefined
}

/** Who is calling, as the door has found out. */
export interface Identity {
  /** For the record: the name of the key or the person, or `local` where no keys are asked for. */
  readonly name: string
  readonly kind: 'key' | 'person' | 'local' | 'server'
  /** Of the key that it came with. */
  readonly keyId?: string | undefined
  readonly personId?: string | undefined
  readonly grants: readonly Grant[]
}

/** Who is calling, and what they may do to what the call is about. */
export interface Principal extends Identity {
  may(action: Action, target?: Resource): boolean
  /** Every action that they may do. */
  actions(target?: Resource): (typeof ACTIONS)[number][]
}

const LOCAL: Identity = { name: 'local', kind: 'local', grants: [{ role: 'admin' }] }
const LOCAL_SERVER: Identity = { name: 'local server', kind: 'server', grants: [{ role: 'follow' }] }

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Finds out who is calling. */
export class Access {
  readonly #options: AccessOptions
  readonly #hosts: HostCheck | undefined
  /** Whether browsers reach us by TLS: cookies then have names that no other host can set. */
  readonly secure: boolean

  constructor(options: AccessOptions) {
    this.#options = options
    this.secure = options.secure
    this.#hosts = options.local ? new HostCheck(options.allowedHosts) : undefined
  }

  /** @throws SLW_HOST_NOT_ALLOWED, SLW_UNAUTHENTICATED; SLW_FORBIDDEN for a page that does not show its session's token */
  async identityOf({ headers, method }: Pick<FastifyRequest, 'headers' | 'method'>): Promise<Identity> {
    const { keys, local, signIn } = this.#options
    this.#requireHost(headers)
    const key = keyOf(headers.authorization)
    if (key !== undefined) return await this.#byKey(key)
    const cookie = sessionCookie(headers.cookie, this.secure)
    if (cookie !== undefined) return await this.#bySession(cookie, { headers, method })
    if (local && !signIn && !(await keys.any())) return LOCAL
    throw new SlipwayError(
      'SLW_UNAUTHENTICATED',
      `a key is needed: Authorization: Bearer KEY, or for MLflow clients MLFLOW_TRACKING_TOKEN (or a password)${signIn ? '; people sign in with: slipway login' : ''}`,
    )
  }

  /** Pages of other sites, and names that lead here by a trick, are refused whatever they show. @throws SLW_HOST_NOT_ALLOWED */
  #requireHost(headers: FastifyRequest['headers']): void {
    this.#hosts?.require(headers.host)
    const { origin, host } = headers
    if (origin === undefined || (this.#hosts === undefined && sessionCookie(headers.cookie, this.secure) === undefined)) return
    if (origin === 'null' || !URL.canParse(origin) || new URL(origin).host !== host)
      throw new SlipwayError('SLW_HOST_NOT_ALLOWED', `pages of ${origin} may not use this control plane`)
  }

  async #byKey(key: string): Promise<Identity> {
    const { keys, people, ownKey } = this.#options
    if (ownKey !== undefined && sameSecret(ownKey, key)) return LOCAL_SERVER
    const known = await keys.verify(key)
    if (known === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', 'the key is unknown, expired or revoked')
    const { name, id: keyId, personId } = known
    if (personId === undefined) return { name, kind: 'key', keyId, grants: grantsOf(known) }
    const person = await people.get(personId)
    if (person === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', 'the key is of nobody who is known')
    return { name: person.name, kind: 'person', keyId, personId, grants: await people.grantsOf(person) }
  }

  async #bySession(cookie: string, { headers, method }: Pick<FastifyRequest, 'headers' | 'method'>): Promise<Identity> {
    const { people } = this.#options
    const session = await people.session(cookie)
    if (session === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', 'the session is over: sign in again')
    const shown = headers['x-csrf-token']
    // A cookie comes by itself; this header comes only from our own pages.
    if (!SAFE_METHODS.has(method) && (typeof shown !== 'string' || !sameSecret(session.csrf, shown)))
      throw new SlipwayError('SLW_FORBIDDEN', 'the header X-CSRF-Token of the session is missing or wrong')
    const { person } = session
    return { name: person.name, kind: 'person', personId: person.id, grants: await people.grantsOf(person) }
  }
}

/** Somebody, and what they may do to a target. */
export function callerOn(identity: Identity, target: Resource): Principal {
  return {
    ...identity,
    may: (action, other = target) => allows(identity.grants, action, other),
    actions: (other = target) => allowedActions(identity.grants, other),
  }
}

/** The one function that every route asks: what nobody has allowed is denied. @throws SLW_FORBIDDEN saying what is missing */
export function requirePermission(caller: Principal, action: Action, target: Resource): void {
  if (caller.may(action, target)) return
  const { environment, models } = target
  const where = models === 'any' || models.length === 0 ? `in "${environment}"` : `on model ${models.join(', ')} in "${environment}"`
  throw new SlipwayError('SLW_FORBIDDEN', `${caller.kind} "${caller.name}" has no role that allows "${action}" ${where}`)
}

/** Whether somebody is admin of every environment and model. */
export function isAdminEverywhere({ grants }: Pick<Identity, 'grants'>): boolean {
  return grants.some(({ role, environments, models }) => role === 'admin' && environments === undefined && models === undefined)
}

/** Whether somebody is admin of these environments. @param environments undefined: of every one */
export function isAdminOf(caller: Principal, environments: readonly string[] | undefined): boolean {
  if (environments === undefined) return isAdminEverywhere(caller)
  return environments.every((environment) => caller.may('admin', { environment, models: [] }))
}

/** Nobody gives or takes what holds where they are no admin. @param environments undefined: every one. @throws SLW_FORBIDDEN */
export function requireAdminOf(caller: Principal, environments: readonly string[] | undefined): void {
  if (environments === undefined) requireEverywhere(caller)
  else for (const environment of environments) requirePermission(caller, 'admin', { environment, models: [] })
}

/** What concerns every environment is for who is admin of all. @throws SLW_FORBIDDEN */
export function requireEverywhere(caller: Principal): void {
  if (!isAdminEverywhere(caller))
    throw new SlipwayError('SLW_FORBIDDEN', `${caller.kind} "${caller.name}" is not admin of every environment, which this is for`)
}

/**
 * What a version is made of must be open to whoever makes it: who may not look at everything in the environment names a version of a model
 * that they may look at.
 * @throws SLW_FORBIDDEN
 */
export function requireSource(caller: Principal, environment: string, source: string | undefined): void {
  if (source === undefined || caller.may('read', { environment, models: [] })) return
  const [, model] = /^models:\/+([^/@]+)\/\d+$/i.exec(source) ?? []
  const inside = /^(?:models|runs|mlflow-artifacts):/i.test(source)
  if (inside) requirePermission(caller, 'read', { environment, models: model === undefined ? [] : [decodeURIComponent(model)] })
}

/** What the session's cookie holds. */
export function sessionCookie(header: string | undefined, secure: boolean): string | undefined {
  return cookieOf(header, sessionCookieName(secure))
}

/** Over TLS a cookie has a name that no page of another host can set (RFC 6265bis, `__Host-`). */
export function sessionCookieName(secure: boolean): string {
  return secure ? '__Host-slipway_session' : 'slipway_session'
}

export function cookieOf(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined
  const cookies = new Map(
    header.split(';').map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
    }),
  )
  const value = cookies.get(name)
  return value === '' ? undefined : value
}

/** In a time that does not tell how much of it is right. */
function sameSecret(ours: string, given: string): boolean {
  const [a, b] = [ours, given].map((text) => createHash('sha256').update(text).digest())
  return timingSafeEqual(a!, b!)
}

/** What a caller shows, a key or the name of a session, however it is written; undefined for nothing. */
export function credentialOf({ authorization, cookie }: FastifyRequest['headers'], secure: boolean): string | undefined {
  const shown = keyOf(authorization) ?? sessionCookie(cookie, secure)
  return shown === '' ? undefined : shown
}

/** Bearer, or the password of basic authentication, which is what MLflow's clients can be given. */
function keyOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined
  const [, scheme = '', value = ''] = /^(\S+)\s+(.+)$/.exec(authorization.trim()) ?? []
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() !== 'basic') return ''
  const pair = Buffer.from(value, 'base64').toString('utf8')
  return pair.slice(pair.indexOf(':') + 1)
}
