import { stringifySetCookie } from 'cookie'
import { SESSION_MS } from '../access/people.ts'
import { LOGIN_MS } from '../access/sign-in.ts'
import { DEFAULT_ENVIRONMENT } from '../contract/api-address.ts'
import { SlipwayError } from '../core/errors.ts'
import { cookieOf, sessionCookie, sessionCookieName } from './access.ts'
import { fromFastify } from './framework-errors.ts'
import { problemOf } from './v1/problem.ts'
import { LOGIN_SCOPE } from './v1/token-routes.ts'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { SignIn } from '../access/sign-in.ts'
import type { Keys } from '../access/keys.ts'
import type { People } from '../access/people.ts'
import type { Ground } from '../ledger/scope.ts'
import type { Access } from './access.ts'

/** Rate limit per address and minute, for routes that begin or poll a pending sign-in. */
function perAddress(max: number) {
  return { config: { rateLimit: { max, timeWindow: 60_000, keyGenerator: (request: FastifyRequest) => request.ip } }, bodyLimit: 16 * 1024 }
}
const BEGINNINGS = perAddress(30)
const POLLS = perAddress(120)

/** Lifetime of a token of `slipway login`. */
const TOKEN_MS = 12 * 3600 * 1000

export interface AuthServices {
  readonly people: People
  readonly access: Access
  readonly keys: Keys
  readonly ground: Ground
  /** Undefined where sign-in is not configured. */
  readonly signIn: SignIn | undefined
}

/** Routes for signing in and out. */
export function authRoutes(services: AuthServices): FastifyPluginAsync {
  const { people, access, keys } = services
  const { secure } = access
  const stateCookie = secure ? '__Host-slipway_login' : 'slipway_login'
  const cookie = (name: string, value: string, maxAge: number): string =>
    stringifySetCookie({ name, value, maxAge, path: '/', httpOnly: true, sameSite: 'lax', secure })
  const signIn = (): SignIn => {
    if (services.signIn !== undefined) return services.signIn
    throw new SlipwayError('SLW_NOT_IMPLEMENTED', 'nobody signs in here: start the control plane with --oidc-issuer, or use an API key')
  }
  return async (app) => {
    app.setErrorHandler((thrown, _request, reply) => {
      const problem = problemOf(fromFastify(thrown))
      return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
    })
    app.get('/config', () => ({
      signIn: services.signIn !== undefined,
      ...(services.signIn !== undefined && { issuer: services.signIn.issuer }),
    }))
    app.get('/login', BEGINNINGS, async (request, reply) => {
      const { return: returnTo = '/' } = request.query as { return?: string }
      const { url, state } = await signIn().begin(returnTo)
      return reply.header('set-cookie', cookie(stateCookie, state, LOGIN_MS / 1000)).redirect(url)
    })
    app.get('/callback', async (request, reply) => {
      const state = cookieOf(request.headers.cookie, stateCookie)
      const { person, returnTo } = await signIn().finish(request.url.split('?')[1] ?? '', state)
      // The earlier session of the browser ends, so that a session planted by somebody else is never taken over.
      const before = sessionCookie(request.headers.cookie, secure)
      if (before !== undefined) await people.endSession(before)
      const { cookie: value } = await people.beginSession(person)
      const cookies = [cookie(sessionCookieName(secure), value, SESSION_MS / 1000), cookie(stateCookie, '', 0)]
      return reply.header('set-cookie', cookies).redirect(returnTo)
    })
    app.get('/session', async (request) => {
      const value = sessionCookie(request.headers.cookie, secure)
      const session = value === undefined ? undefined : await people.session(value)
      if (session === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', 'nobody is signed in')
      return { name: session.person.name, csrfToken: session.csrf, expiresAt: session.expiresAt }
    })
    app.post('/logout', async (request, reply) => {
      const value = sessionCookie(request.headers.cookie, secure)
      const { name, keyId, personId } = await access.identityOf(request)
      if (value !== undefined) await people.endSession(value)
      // The token of a person that was sent, such as one of `slipway login`, is revoked too; keys of machines are not.
      if (keyId !== undefined && personId !== undefined) await keys.revoke({ environment: DEFAULT_ENVIRONMENT, actor: name }, keyId)
      return reply
        .header('set-cookie', cookie(sessionCookieName(secure), '', 0))
        .code(204)
        .send()
    })
    app.post('/device', BEGINNINGS, async () => await signIn().beginDevice())
    app.post('/device/poll', POLLS, async (request, reply) => {
      const { handle } = (request.body ?? {}) as { handle?: unknown }
      const person = await signIn().pollDevice(String(handle ?? ''))
      if (person === undefined) return reply.code(202).send({ pending: true })
      const expiresAt = services.ground.clock.epochMs() + TOKEN_MS
      const scope = { environment: DEFAULT_ENVIRONMENT, actor: person.name }
      const { key } = await keys.create(scope, { name: `${person.name} (login)`, scopes: [LOGIN_SCOPE], expiresAt, personId: person.id })
      return { token: key, name: person.name, expiresAt }
    })
  }
}
