import { createHash } from 'node:crypto'
import rateLimit from '@fastify/rate-limit'
import { SlipwayError } from '../core/errors.ts'
import { credentialOf } from './access.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** Calls with an invalid key that one address may make in a minute, to slow down guessing. */
const REFUSED_PER_MINUTE = 60

/** Limits the requests of each caller and the wrong keys of each address in a minute. Each control plane counts for itself. */
export async function limitRates(
  app: FastifyInstance,
  { requestsPerMinute, secure }: { readonly requestsPerMinute: number; readonly secure: boolean },
): Promise<void> {
  await app.register(rateLimit, {
    global: true,
    max: requestsPerMinute,
    timeWindow: 60_000,
    keyGenerator: (request) => callerKey(request, secure),
    // Liveness checks are not counted.
    allowList: (request) => request.routeOptions.url === '/health',
    errorResponseBuilder: (_request, { max, ttl }) =>
      new SlipwayError('SLW_RATE_LIMITED', `more than ${max} requests in a minute`, { retryAfterMs: ttl }),
  })
  const wrongKeys = app.createRateLimit({ max: REFUSED_PER_MINUTE, timeWindow: 60_000, keyGenerator: (request) => request.ip })
  app.decorate(COUNT_WRONG_KEY, async (request: FastifyRequest): Promise<void> => {
    const counted = await wrongKeys(request)
    if (!counted.isAllowed && counted.isExceeded)
      throw new SlipwayError('SLW_RATE_LIMITED', `more than ${REFUSED_PER_MINUTE} wrong keys came from ${request.ip} in a minute`, {
        retryAfterMs: counted.ttl,
      })
  })
}

const COUNT_WRONG_KEY = Symbol('count a wrong key')

/** Counts an invalid key. @throws SLW_RATE_LIMITED where too many came from its address */
export async function countWrongKey(request: FastifyRequest): Promise<void> {
  await request.server.getDecorator<(request: FastifyRequest) => Promise<void>>(COUNT_WRONG_KEY)(request)
}

/** Identifies a caller by the hash of the credential; without one, by address. */
function callerKey(request: FastifyRequest, secure: boolean): string {
  const shown = credentialOf(request.headers, secure)
  return shown === undefined ? request.ip : createHash('sha256').update(shown).digest('base64url')
}
