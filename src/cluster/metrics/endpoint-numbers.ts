import { apiAddress } from '../../contract/api-address.ts'
import { errorOf } from '../../contract/problem.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { every } from './every.ts'
import type { ServerAnswer, TrafficAnswer } from '../../contract/delivery-api.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { EndpointNumbers, EndpointValue, ExternalMetric } from './sources.ts'

export interface EndpointNumbersOptions {
  readonly url: string
  readonly environment: string | undefined
  /** Read before each look, as keys are exchanged; undefined where the control plane asks for none. */
  readonly key: (() => Promise<string>) | undefined
  readonly intervalMs: number
  /** Time over which rates are taken, in steps of ten seconds. */
  readonly windowMs: number
  readonly clock: Clock
  readonly log: Logger
}

/** What the control plane said last. */
interface Known {
  readonly atMs: number
  readonly epochMs: number
  readonly traffic: readonly TrafficAnswer[]
  readonly endpoints: readonly string[]
}

const TIMEOUT_MS = 5000
/** Looks after which numbers are stale. */
const STALE_LOOKS = 4
/** Time for which a server that is not heard of any more may still answer requests; after it, it is taken to have ended. */
const MISSING_MS = 90_000
const PAGE = '1000'

/**
 * Numbers of endpoints from a control plane: the windows of all servers, added up. None are told while a server that was heard of lately is
 * silent, as the sum would be too small; an endpoint without requests has zero only while servers are there that would have counted some.
 */
export function openEndpointNumbers(options: EndpointNumbersOptions): EndpointNumbers {
  const { clock, log, intervalMs, windowMs } = options
  let known: Known | undefined
  let trouble: string | undefined = 'the control plane has not been asked yet'
  let asked = false
  const looking = every(intervalMs, async (signal) => {
    try {
      const found = await look(options, signal)
      known = typeof found === 'string' ? undefined : found
      const after = typeof found === 'string' ? found : undefined
      if (after !== trouble) log.info({}, after ?? 'the numbers of the control plane are complete')
      trouble = after
      asked = true
    } catch (error) {
      if (signal.aborted) return
      if (trouble !== messageOf(error)) log.warn({}, `no numbers of the control plane: ${messageOf(error)}`)
      trouble = messageOf(error)
    }
  })
  return {
    get waitsFor() {
      return asked ? undefined : trouble
    },
    values(metric, labels) {
      if (known === undefined || known.atMs < clock.monotonicMs() - STALE_LOOKS * intervalMs) return []
      const { epochMs: atMs } = known
      return numbersOf(known, metric)
        .filter((one) => labels(one.labels))
        .map((one) => ({ ...one, atMs, windowMs }))
    },
    [Symbol.asyncDispose]: () => looking[Symbol.asyncDispose](),
  }
}

function numbersOf({ traffic, endpoints }: Known, metric: ExternalMetric): Pick<EndpointValue, 'labels' | 'value'>[] {
  if (metric === 'errors')
    return [...Map.groupBy(traffic, ({ endpoint }) => endpoint)].map(([endpoint, some]) => {
      const requests = some.reduce((sum, one) => sum + one.requests, 0)
      return { labels: { endpoint }, value: some.reduce((sum, one) => sum + one.errors, 0) / requests }
    })
  const asked = new Set(traffic.map(({ endpoint }) => endpoint))
  return [
    ...traffic.flatMap(({ endpoint, variant, model, version, ratePerSecond, inFlight, queued }) => {
      const value = { rps: ratePerSecond, concurrency: inFlight, queue: queued }[metric]
      return value === undefined ? [] : [{ labels: { endpoint, variant, model, version }, value }]
    }),
    ...endpoints.filter((endpoint) => !asked.has(endpoint)).map((endpoint) => ({ labels: { endpoint }, value: 0 })),
  ]
}

/** @returns why there are no numbers that can be believed, as a text */
async function look(options: EndpointNumbersOptions, signal: AbortSignal): Promise<Known | string> {
  const key = await options.key?.()
  const ask = async <T>(path: string): Promise<T> => {
    const url = `${apiAddress(options)}${path}`
    const response = await fetch(url, {
      redirect: 'error',
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    }).catch((error: unknown) => {
      const { code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException
      throw new SlipwayError('SLW_UNREACHABLE', `the control plane ${options.url} does not answer (${code ?? messageOf(error)})`, {
        cause: error,
      })
    })
    const text = await response.text()
    if (!response.ok) throw errorOf(options.url, { status: response.status, text, retryAfter: response.headers.get('retry-after') })
    return JSON.parse(text) as T
  }
  const all = async <T>(path: string): Promise<T[]> => {
    const items: T[] = []
    for (let token: string | undefined = ''; token !== undefined;) {
      const query = new URLSearchParams({ limit: PAGE, ...(token !== '' && { pageToken: token }) })
      const page: { items: T[]; nextPageToken?: string } = await ask(`${path}?${query.toString()}`)
      items.push(...page.items)
      token = page.nextPageToken
    }
    return items
  }
  const [{ items: traffic, until }, servers, endpoints] = await Promise.all([
    ask<{ items: TrafficAnswer[]; until: number }>(`/traffic?lastMs=${options.windowMs}`),
    all<ServerAnswer>('/servers'),
    all<{ metadata: { name: string } }>('/endpoints'),
  ])
  const live = servers.filter((server) => server.live)
  const silent = servers.find((server) => !server.live && until - server.lastSeenAt < MISSING_MS)
  if (silent !== undefined) return `server "${silent.name}" is silent, and what it counts is missing`
  if (live.length === 0) return 'no server follows the control plane'
  const { clock } = options
  return { atMs: clock.monotonicMs(), epochMs: until, traffic, endpoints: endpoints.map(({ metadata }) => metadata.name) }
}
