import { createHash, timingSafeEqual } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { HostCheck } from '../security/host-check.ts'
import { ACTIONS, SERVER_ACTIONS } from './permissions.ts'
import type { IncomingHttpHeaders } from 'node:http'
import type { Keys } from '../registry/keys.ts'
import type { Action, Caller } from './permissions.ts'

export interface AccessOptions {
  readonly keys: Keys
  /** Bound to loopback: without keys whoever is on this machine may do everything, and web pages nothing. */
  readonly local: boolean
  readonly allowedHosts: readonly string[]
  /** Of the server that we have started ourselves. */
  readonly ownKey?: string | undefined
}

const LOCAL: Caller = { name: 'local', may: () => true }

/** Finds out who is calling. */
export class Access {
  readonly #options: AccessOptions
  readonly #hosts: HostCheck | undefined

  constructor(options: AccessOptions) {
    this.#options = options
    this.#hosts = options.local ? new HostCheck(options.allowedHosts) : undefined
  }

  /** @throws SLW_HOST_NOT_ALLOWED, SLW_UNAUTHENTICATED */
  async callerOf(headers: IncomingHttpHeaders): Promise<Caller> {
    this.#hosts?.require(headers.host)
    this.#requireOwnOrigin(headers)
    const key = keyOf(headers.authorization)
    if (key !== undefined) {
      if (this.#isOwn(key)) return { name: 'local server', may: (action) => action === 'follow' }
      const known = await this.#options.keys.verify(key)
      if (known !== undefined) return { name: known.name, keyId: known.id, environments: known.environments, may: mayBy(known.scopes) }
      throw new SlipwayError('SLW_UNAUTHENTICATED', 'the key is unknown, expired or revoked')
    }
    if (this.#options.local && !(await this.#options.keys.any())) return LOCAL
    throw new SlipwayError(
      'SLW_UNAUTHENTICATED',
      'a key is needed: Authorization: Bearer KEY, or for MLflow clients MLFLOW_TRACKING_TOKEN (or a password)',
    )
  }

  #isOwn(key: string): boolean {
    const { ownKey } = this.#options
    if (ownKey === undefined) return false
    const [own, given] = [ownKey, key].map((text) => createHash('sha256').update(text).digest())
    return timingSafeEqual(own!, given!)
  }

  /** A page of another site may send requests that it cannot read the answers of: they are not done either. */
  #requireOwnOrigin({ origin, host }: IncomingHttpHeaders): void {
    if (this.#hosts === undefined || origin === undefined || origin === 'null') {
      if (origin === 'null' && this.#hosts !== undefined) throw foreign(origin)
      return
    }
    if (!URL.canParse(origin) || new URL(origin).host !== host) throw foreign(origin)
  }
}

function foreign(origin: string): SlipwayError {
  return new SlipwayError('SLW_HOST_NOT_ALLOWED', `pages of ${origin} may not use this control plane`)
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

/** A scope opens itself and what is less. `protect` is a right of its own that only admins have besides. */
function mayBy(scopes: readonly string[]): (action: Action) => boolean {
  const allowed = new Set<Action>()
  for (const scope of scopes) {
    if ((SERVER_ACTIONS as readonly string[]).includes(scope)) allowed.add(scope as Action)
    const rank = (ACTIONS as readonly string[]).indexOf(scope)
    if (rank >= 1) allowed.add('follow')
    if (scope === 'admin') allowed.add('join')
    for (const action of ACTIONS.slice(0, rank + 1))
      if (action !== 'protect' || scope === 'protect' || scope === 'admin') allowed.add(action)
  }
  return (action) => allowed.has(action)
}

/** The one function that every route asks. @throws SLW_FORBIDDEN */
export function requirePermission(caller: Caller, action: Action): void {
  if (!caller.may(action)) throw new SlipwayError('SLW_FORBIDDEN', `the key "${caller.name}" has no scope that allows "${action}"`)
}
