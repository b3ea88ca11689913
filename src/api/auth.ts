import { SlipwayError } from '../core/errors.ts'
import { SESSION_COOKIES, sessionCookie } from './access.ts'
import { fromFastify } from './doors.ts'
import { problemOf } from './v1/problem.ts'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { SignIn } from '../access/sign-in.ts'
import type { ApiOptions } from './doors.ts'

const STATE_COOKIE = 'slipway_login'
/** How long a token holds that `slipway login` gets. */
const TOKEN_MS = 12 * 3600 * 1000

/** How people sign in, and out. */
export function authRoutes(options: ApiOptions): FastifyPluginAsync {
  const { people, access, keys } = options
  const signIn = (): SignIn => {
    if (options.signIn !== undefined) return options.signIn
    throw new SlipwayError('SLW_NOT_IMPLEMENTED', 'nobody signs in here: start the control plane with --oidc-issuer, or use an API key')
  }
  return async (app) => {
    app.setErrorHandler((thrown, _request, reply) => {
      const problem = problemOf(fromFastify(thrown))
      return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
    })
    app.get('/config', () => ({
      signIn: options.signIn !== undefined,
      ...(options.signIn !== undefined && { issuer: options.signIn.issuer }),
    }))
    app.get('/login', async (request, reply) => {
      const { return: returnTo = '/' } = request.query as { return?: string }
      const { url, state } = await signIn().begin(returnTo)
      return reply.header('set-cookie', cookie(request, STATE_COOKIE, state, 600)).redirect(url)
    })
    app.get('/callback', async (request, reply) => {
      const state = stateCookie(request.headers.cookie)
      const { person, returnTo } = await signIn().finish(request.url.split('?')[1] ?? '', state)
      // What the browser had before is over: a session that somebody else has slipped in becomes nobody's.
      const before = sessionCookie(request.headers.cookie)
      if (before !== undefined) await people.endSession(before)
      const { cookie: value } = await people.beginSession(person)
      const name = isSecure(request) ? SESSION_COOKIES[0] : SESSION_COOKIES[1]
      const cookies = [cookie(request, name, value, 12 * 3600), cookie(request, STATE_COOKIE, '', 0)]
      return reply.header('set-cookie', cookies).redirect(returnTo)
    })
    app.get('/session', async (request) => {
      const value = sessionCookie(request.headers.cookie)
      const session = value === undefined ? undefined : await people.session(value)
      if (session === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', 'nobody is signed in')
      return { name: session.person.name, csrfToken: session.csrf, expiresAt: session.expiresAt }
    })
    app.post('/logout', async (request, reply) => {
      const value = sessionCookie(request.headers.cookie)
      const { keyId, personId } = await access.identityOf(request)
      if (value !== undefined) await people.endSession(value)
      // A token of `slipway login` ends with it; keys of machines do not.
      if (keyId !== undefined && personId !== undefined) await keys.revoke(keyId)
      return reply
        .header(
          'set-cookie',
          SESSION_COOKIES.map((name) => cookie(request, name, '', 0)),
        )
        .code(204)
        .send()
    })
    app.post('/device', async () => await signIn().beginDevice())
    app.post('/device/poll', async (request, reply) => {
      const { handle } = (request.body ?? {}) as { handle?: unknown }
      const person = await signIn().pollDevice(String(handle ?? ''))
      if (person === undefined) return reply.code(202).send({ pending: true })
      const expiresAt = options.registry.ground.clock.epochMs() + TOKEN_MS
      const scope = { environment: 'default', actor: person.name }
      const { key } = await keys.create(scope, { name: `${person.name} (login)`, scopes: ['person'], expiresAt, personId: person.id })
      return { token: key, name: person.name, expiresAt }
    })
  }
}

function isSecure(request: FastifyRequest): boolean {
  return request.protocol === 'https'
}

function cookie(request: FastifyRequest, name: string, value: string, maxAgeS: number): string {
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${maxAgeS}${isSecure(request) || name.startsWith('__Host-') ? '; Secure' : ''}`
}

function stateCookie(header: string | undefined): string | undefined {
  return new RegExp(`(?:^|; *)${STATE_COOKIE}=([^;]+)`).exec(header ?? '')?.[1]
}
