import { messageOf, SlipwayError } from '../../core/errors.ts'
import type { Credentials } from './credentials.ts'

/** One of the ways in that an answer with 401 offers (RFC 9110, 11.6.1). */
interface Challenge {
  readonly scheme: 'basic' | 'bearer'
  readonly parameters: Readonly<Record<string, string>>
}

export interface Authorization {
  /** The header for the next request; undefined: none is known to be needed. @param scope that it needs */
  header(scope: string): Promise<string | undefined>
  /**
   * After a 401. @param used the header of the refused request. @param challenges `www-authenticate` of the answer
   * @returns whether there is something new to try
   */
  challenged(used: string | undefined, challenges: string, scope: string): Promise<boolean>
}

export interface AuthorizationOptions {
  /** Host of the registry, for messages. */
  readonly host: string
  /** Where the API is: tokens come over TLS where it does. */
  readonly api: URL
  /** Looked for once, when the registry wants some. */
  readonly find: () => Promise<Credentials | undefined>
  readonly timeoutMs: number
}

interface Token {
  readonly value: string
  readonly realm: Readonly<Record<string, string>>
  readonly scopes: readonly string[]
  readonly untilMs: number
}

const TOKEN_BYTES_MAX = 256 * 1024
/** What a token is good for that says nothing (distribution, docs/spec/auth/token.md). */
const TOKEN_SECONDS = 60
/** A token that ends within this time is renewed before it is used. */
const SPARE_MS = 10_000

/**
 * Proves to a registry who asks: Basic, or tokens of the server that it names
 * (https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/).
 */
export function authorization({ host, api, find, timeoutMs }: AuthorizationOptions): Authorization {
  let found: Promise<Credentials | undefined> | undefined
  let basic: string | undefined
  let token: Token | undefined
  /** Renewals come one after the other, so that what asks at once does not ask for as many tokens. */
  let last: Promise<unknown> = Promise.resolve()
  const credentials = (): Promise<Credentials | undefined> => (found ??= find())

  async function renew(realm: Readonly<Record<string, string>>, scope: string): Promise<void> {
    const scopes = joined([...(token?.scopes ?? []), ...scope.split(' ')])
    const { value, seconds } = await askToken({ host, api, realm, scopes, credentials: await credentials(), timeoutMs })
    token = { value, realm, scopes, untilMs: Date.now() + seconds * 1000 }
  }

  function turn<T>(act: () => Promise<T>): Promise<T> {
    const next = last.catch(() => {}).then(act)
    last = next
    return next
  }

  const current = (): string | undefined => (token === undefined ? basic : `Bearer ${token.value}`)
  const isUsable = (scope: string): boolean =>
    token === undefined ||
    (token.untilMs - Date.now() > SPARE_MS && joined([...token.scopes, ...scope.split(' ')]).join(' ') === token.scopes.join(' '))

  return {
    async header(scope) {
      if (!isUsable(scope))
        await turn(async () => {
          if (token !== undefined && !isUsable(scope)) await renew(token.realm, scope)
        })
      return current()
    },
    challenged: (used, text, scope) =>
      turn(async () => {
        if (current() !== used) return true
        const challenges = challengesIn(text)
        const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
        if (bearer !== undefined) {
          await renew(bearer.parameters, `${scope} ${bearer.parameters['scope'] ?? ''}`)
          return current() !== used
        }
        if (challenges.length === 0) return false
        const known = await credentials()
        if (known === undefined || known.identityToken !== undefined) return false
        basic = basicOf(known)
        return basic !== used
      }),
  }
}

/** Scopes (`repository:NAME:pull,push`) with one for each resource. */
function joined(scopes: readonly string[]): string[] {
  const actions = new Map<string, Set<string>>()
  for (const scope of scopes) {
    const [, resource, list] = /^(.+):([^:]*)$/.exec(scope) ?? []
    if (resource === undefined || list === undefined) continue
    const known = actions.get(resource) ?? new Set()
    for (const action of list.split(',')) known.add(action)
    actions.set(resource, known)
  }
  return [...actions].map(([resource, all]) => `${resource}:${[...all].join(',')}`)
}

function basicOf({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** Challenges of a header, which lists them with commas between them, as it does their parameters. */
export function challengesIn(text: string): Challenge[] {
  const starts = [...text.matchAll(/(?:^|,)\s*(basic|bearer)(?=\s|$)/gi)]
  return starts.map((start, index) => {
    const own = text.slice(start.index + start[0].length, starts[index + 1]?.index)
    const parameters = [...own.matchAll(/([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi)]
    return {
      scheme: start[1]!.toLowerCase() as Challenge['scheme'],
      parameters: Object.fromEntries(
        parameters.map(([, name, quoted, plain]) => [name!.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '']),
      ),
    }
  })
}

interface TokenRequest {
  readonly host: string
  readonly api: URL
  readonly realm: Readonly<Record<string, string>>
  readonly scopes: readonly string[]
  readonly credentials: Credentials | undefined
  readonly timeoutMs: number
}

async function askToken({ host, api, realm, scopes, credentials, timeoutMs }: TokenRequest): Promise<{ value: string; seconds: number }> {
  const { realm: address = '', service } = realm
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !['https:', api.protocol].includes(url.protocol))
    throw new SlipwayError(
      'SLW_ANSWER_INVALID',
      `the registry ${host} sends for a token to ${JSON.stringify(address.slice(0, 200))}; expected an address of https://, as credentials go there`,
    )
  const form = new URLSearchParams()
  if (service !== undefined) form.set('service', service)
  const oauth = credentials?.identityToken
  if (oauth === undefined) for (const scope of scopes) form.append('scope', scope)
  else {
    form.set('scope', scopes.join(' '))
    form.set('grant_type', 'refresh_token')
    form.set('client_id', 'slipway')
    form.set('refresh_token', oauth)
  }
  if (oauth === undefined) for (const [name, value] of form) url.searchParams.append(name, value)
  const answer = await fetch(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
    ...(oauth !== undefined && { method: 'POST', body: form }),
    ...(credentials !== undefined && credentials.identityToken === undefined && { headers: { authorization: basicOf(credentials) } }),
  }).catch((error: unknown) => {
    throw new SlipwayError(
      'SLW_UNREACHABLE',
      `${url.host}, which gives tokens for the registry ${host}, cannot be asked: ${reasonOf(error)}`,
    )
  })
  const body = await bodyOf(answer)
  if (answer.status === 401 || answer.status === 403 || answer.status === 400)
    throw new SlipwayError(
      'SLW_UNAUTHENTICATED',
      `${url.host}, which gives tokens for the registry ${host}, ${credentials === undefined ? 'gives none to nobody; give --username and --password-stdin, or sign in with docker login or podman login' : 'does not believe the credentials (or they may not do that); check them, or sign in anew'} (HTTP ${answer.status})`,
    )
  if (!answer.ok)
    throw new SlipwayError('SLW_UNREACHABLE', `${url.host}, which gives tokens for the registry ${host}, failed (HTTP ${answer.status})`)
  const { token, access_token: accessToken, expires_in: seconds } = objectIn(body)
  const value = typeof token === 'string' && token !== '' ? token : accessToken
  if (typeof value !== 'string' || value === '' || /[^\x21-\x7e]/.test(value))
    throw new SlipwayError('SLW_ANSWER_INVALID', `${url.host} answered without a token for the registry ${host}`)
  return { value, seconds: typeof seconds === 'number' && seconds > TOKEN_SECONDS ? seconds : TOKEN_SECONDS }
}

async function bodyOf(answer: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of answer.body ?? []) {
    size += part.length
    if (size > TOKEN_BYTES_MAX) break
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** Why `fetch` failed: it says so in its cause. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && cause.message !== '' ? cause.message : messageOf(error)
}
