import { createHash, timingSafeEqual } from 'node:crypto'
import { parseCookie } from 'cookie'
import { allowedActions, allows, modelsOf } from '../contract/roles.ts'
import { SlipwayError } from '../core/errors.ts'
import { grantsOf } from '../access/keys.ts'
import { HostCheck } from '../security/host-check.ts'
import type { FastifyRequest } from 'fastify'
import type { Keys } from '../access/keys.ts'
import type { People } from '../access/people.ts'
import type { Action, ACTIONS, Grant, Resource } from '../contract/roles.ts'
import type { Reader } from '../models/usable-contents.ts'

export interface AccessOptions {
  readonly keys: Keys
  readonly people: People
  /** Bound to loopback: without keys and sign-in every client on this machine may do everything, and web pages nothing. */
  readonly local: boolean
  readonly secure: boolean
  /** Whether sign-in is configured: then every caller needs a key or a session. */
  readonly signIn: boolean
  readonly allowedHosts: readonly string[]
  /** Key of the server that this process has started. */
  readonly ownKey?: string | undefined
}

/** The authenticated caller. */
export interface Identity {
  /** For the record: the name of the key or the person, or `local` where no keys are required. */
  readonly name: string
  readonly kind: 'key' | 'person' | 'local' | 'server'
  /** Id of the key that was sent. */
  readonly keyId?: string | undefined
  readonly personId?: string | undefined
  readonly grants: readonly Grant[]
}

/** The caller, and what they may do to the target of the call. */
export interface Principal extends Identity {
  may(action: Action, target?: Resource): boolean
  /** Patterns of the models to which the caller may do it; undefined: all. */
  modelsTo(action: Action, environment: string): readonly string[] | undefined
  /** Every action that the caller may do. */
  actions(target?: Resource): (typeof ACTIONS)[number][]
}

const LOCAL: Identity = { name: 'local', kind: 'local', grants: [{ role: 'admin' }] }
const LOCAL_SERVER: Identity = { name: 'local server', kind: 'server', grants: [{ role: 'follow' }] }

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Authenticates callers. */
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

  /** @throws SLW_HOST_NOT_ALLOWED, SLW_UNAUTHENTICATED; SLW_FORBIDDEN for a page that does not send the CSRF token of its session */
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

  /** Refuses pages of other sites and foreign host names (DNS rebinding), whatever the credential. @throws SLW_HOST_NOT_ALLOWED */
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
    // Browsers send cookies by themselves; only our own pages send this header.
    if (!SAFE_METHODS.has(method) && (typeof shown !== 'string' || !sameSecret(session.csrf, shown)))
      throw new SlipwayError('SLW_FORBIDDEN', 'the header X-CSRF-Token of the session is missing or wrong')
    const { person } = session
    return { name: person.name, kind: 'person', personId: person.id, grants: await people.grantsOf(person) }
  }
}

/** A caller with what they may do to a target. */
export function callerOn(identity: Identity, target: Resource): Principal {
  return {
    ...identity,
    may: (action, other = target) => allows(identity.grants, action, other),
    modelsTo: (action, environment) => modelsOf(identity.grants, action, environment),
    actions: (other = target) => allowedActions(identity.grants, other),
  }
}

/** Which contents a caller may name by their ids in an environment. */
export function readerOf(caller: Principal, environment: string): Reader {
  return {
    environment,
    sender: `${callerId(caller)} ${environment}`,
    reads: (model) => caller.may('read', { environment, models: [model] }),
  }
}

/** Who a caller is, for what is kept of them: a name may be given anew. */
export function callerId({ keyId, personId, kind }: Identity): string {
  return keyId ?? personId ?? kind
}

/** The permission check of every route: an action that is not granted is denied. @throws SLW_FORBIDDEN naming the missing action */
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

/** Rights are given and taken only by admins of their environments. @param environments undefined: every one. @throws SLW_FORBIDDEN */
export function requireAdminOf(caller: Principal, environments: readonly string[] | undefined): void {
  if (environments === undefined) requireEverywhere(caller)
  else for (const environment of environments) requirePermission(caller, 'admin', { environment, models: [] })
}

/** Actions that concern every environment need an admin of all. @throws SLW_FORBIDDEN */
export function requireEverywhere(caller: Principal): void {
  if (!isAdminEverywhere(caller))
    throw new SlipwayError('SLW_FORBIDDEN', `${caller.kind} "${caller.name}" is not admin of every environment, which this is for`)
}

/**
 * The creator of a version must be allowed to read its source: of versions, those of models that they may read. Runs and logged models
 * belong to no model, and are open to everybody with a role for some.
 * @throws SLW_FORBIDDEN
 */
export function requireSource(caller: Principal, environment: string, source: string | undefined): void {
  if (source === undefined || caller.may('read', { environment, models: [] })) return
  const [, model] = /^models:\/+([^/@]+)\/\d+$/i.exec(source) ?? []
  const logged = /^(?:runs:\/|models:\/+m-[0-9a-f]{32}$|mlflow-artifacts:(?!\/*versions\/))/i.test(source)
  if (model !== undefined) requirePermission(caller, 'read', { environment, models: [decodeURIComponent(model)] })
  else if (logged) requirePermission(caller, 'read', { environment, models: 'any' })
  else if (/^(?:models|runs|mlflow-artifacts):/i.test(source)) requirePermission(caller, 'read', { environment, models: [] })
}

/** The value of the session cookie. */
export function sessionCookie(header: string | undefined, secure: boolean): string | undefined {
  return cookieOf(header, sessionCookieName(secure))
}

/** Over TLS a cookie has a name that no page of another host can set (RFC 6265bis, `__Host-`). */
export function sessionCookieName(secure: boolean): string {
  return secure ? '__Host-slipway_session' : 'slipway_session'
}

/** The value of a cookie; undefined where it is missing or empty. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const value = header === undefined ? undefined : parseCookie(header)[name]
  return value === '' ? undefined : value
}

/** Compares in constant time. */
function sameSecret(ours: string, given: string): boolean {
  const [a, b] = [ours, given].map((text) => createHash('sha256').update(text).digest())
  return timingSafeEqual(a!, b!)
}

/** The credential of a caller, a key or the cookie of a session, valid or not; undefined for none. */
export function credentialOf({ authorization, cookie }: FastifyRequest['headers'], secure: boolean): string | undefined {
  const shown = keyOf(authorization) ?? sessionCookie(cookie, secure)
  return shown === '' ? undefined : shown
}

/** The key as Bearer, or as the password of basic authentication, which MLflow's clients support. */
function keyOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined
  const [, scheme = '', value = ''] = /^(\S+)\s+(.+)$/.exec(authorization.trim()) ?? []
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() !== 'basic') return ''
  const pair = Buffer.from(value, 'base64').toString('utf8')
  return pair.slice(pair.indexOf(':') + 1)
}
