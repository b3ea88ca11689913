import { SlipwayClientError } from './client-error.ts'

/** When a request that failed is sent again. Predictions change nothing, so each of them may be. */
export interface RetryOptions {
  /** Requests for one call, the first included. Default: 3. */
  readonly attempts?: number | undefined
  /** Longest pause before the second request; it doubles with each, and chance chooses from 0 to it. Default: 50. */
  readonly baseMs?: number | undefined
  /** Bound of the doubling. Default: 2000. */
  readonly maxMs?: number | undefined
  /** Share of the calls of the client that may be sent again. Default: 0.1. */
  readonly budgetRatio?: number | undefined
  /** Repeats in each second that need no calls to earn them. Default: 1. */
  readonly budgetPerSecond?: number | undefined
  /** Repeats that can be saved up; a client begins with so many. Default: 10. */
  readonly budgetBurst?: number | undefined
}

/** When a model is not asked for a while, because it does not answer anyhow. */
export interface BreakerOptions {
  /** Time that is looked back over. Default: 10000. */
  readonly windowMs?: number | undefined
  /** Share of the requests that have to have failed. Default: 0.5. */
  readonly failureRatio?: number | undefined
  /** Requests that there have to have been. Default: 20. */
  readonly minimumRequests?: number | undefined
  /** Time after which one request is let through to see. Default: 5000. */
  readonly openMs?: number | undefined
}

/** When a second request is sent while the first one has not been answered; the first answer counts, the other request is given up. */
export interface HedgeOptions {
  /** Time to wait for the first. Default: as long as `percentile` of the last 100 answers of the model took, once there have been 20. */
  readonly afterMs?: number | undefined
  /** From 0 to 1. Default: 0.95. */
  readonly percentile?: number | undefined
}

export interface ClientOptions {
  /** Sent as `Authorization: Bearer`. Default: none. */
  readonly apiKey?: string | undefined
  /** Time for a call, repeats and pauses included; the server is told what is left of it. Default: 10000. */
  readonly deadlineMs?: number | undefined
  /** `false`: nothing is sent again. */
  readonly retry?: RetryOptions | false | undefined
  /** `false`: every request is sent. */
  readonly breaker?: BreakerOptions | false | undefined
  /** Default: off. */
  readonly hedge?: HedgeOptions | undefined
  /** Headers of each request, such as `traceparent`. Default: none. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** What sends requests, where that is to go by a proxy or with a certificate of one's own. Default: that of the platform. */
  readonly fetch?: typeof fetch | undefined
  /** From 0 to below 1; makes pauses repeatable in tests. Default: `Math.random`. */
  readonly random?: (() => number) | undefined
}

export interface CallOptions {
  /** Default: that of the client. */
  readonly deadlineMs?: number | undefined
  /** Cancels the call: it then fails with SLW_CANCELLED. */
  readonly signal?: AbortSignal | undefined
  /** Headers beside those of the client. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export interface RetryRules {
  readonly attempts: number
  readonly baseMs: number
  readonly maxMs: number
}

export interface BudgetRules {
  readonly ratio: number
  readonly perSecond: number
  readonly burst: number
}

export interface BreakerRules {
  readonly windowMs: number
  readonly failureRatio: number
  readonly minimumRequests: number
  readonly openMs: number
}

export interface HedgeRules {
  readonly afterMs: number | undefined
  readonly percentile: number
}

/** Options with their defaults. */
export interface Rules {
  /** Without a slash at its end. */
  readonly url: string
  readonly deadlineMs: number
  readonly retry: RetryRules
  readonly budget: BudgetRules
  /** Undefined: there is none. */
  readonly breaker: BreakerRules | undefined
  /** Undefined: it is off. */
  readonly hedge: HedgeRules | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly fetch: typeof fetch
  readonly random: () => number
}

/** @throws SLW_CONFIG_INVALID for an address or a number that makes no sense */
export function resolveOptions(url: string, options: ClientOptions): Rules {
  const { retry = {}, breaker = {}, hedge, apiKey, headers = {} } = options
  const again = retry === false ? { attempts: 1 } : retry
  return {
    url: addressOf(url),
    deadlineMs: within('deadlineMs', options.deadlineMs ?? 10_000, 1, LONGEST_MS),
    retry: {
      attempts: within('retry.attempts', again.attempts ?? 3, 1, 100),
      baseMs: within('retry.baseMs', again.baseMs ?? 50, 0, LONGEST_MS),
      maxMs: within('retry.maxMs', again.maxMs ?? 2000, 0, LONGEST_MS),
    },
    budget: {
      ratio: within('retry.budgetRatio', again.budgetRatio ?? 0.1, 0, 1),
      perSecond: within('retry.budgetPerSecond', again.budgetPerSecond ?? 1, 0, 1e6),
      burst: within('retry.budgetBurst', again.budgetBurst ?? 10, 0, 1e6),
    },
    breaker:
      breaker === false
        ? undefined
        : {
            windowMs: within('breaker.windowMs', breaker.windowMs ?? 10_000, 1, LONGEST_MS),
            failureRatio: within('breaker.failureRatio', breaker.failureRatio ?? 0.5, 0, 1),
            minimumRequests: within('breaker.minimumRequests', breaker.minimumRequests ?? 20, 1, 1e6),
            openMs: within('breaker.openMs', breaker.openMs ?? 5000, 0, LONGEST_MS),
          },
    hedge:
      hedge === undefined
        ? undefined
        : {
            afterMs: hedge.afterMs === undefined ? undefined : within('hedge.afterMs', hedge.afterMs, 0, LONGEST_MS),
            percentile: within('hedge.percentile', hedge.percentile ?? 0.95, 0, 1),
          },
    headers: { ...headers, ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }) },
    fetch: options.fetch ?? fetch,
    random: options.random ?? Math.random,
  }
}

/** Timers hold no more: 2^31 - 1 ms. */
const LONGEST_MS = 2_147_483_647

/** A number in its bounds. @throws SLW_CONFIG_INVALID */
export function within(name: string, value: number, minimum: number, maximum: number): number {
  if (value >= minimum && value <= maximum) return value
  throw new SlipwayClientError('SLW_CONFIG_INVALID', `${name}: expected a number from ${minimum} to ${maximum}, found ${value}`)
}

/** Time for a call. @throws SLW_CONFIG_INVALID */
export function deadlineOf(rules: Pick<Rules, 'deadlineMs'>, own: number | undefined): number {
  return within('deadlineMs', own ?? rules.deadlineMs, 1, LONGEST_MS)
}

function addressOf(url: string): string {
  if (!/^https?:\/\/[^/?#]/.test(url))
    throw new SlipwayClientError('SLW_CONFIG_INVALID', `address of the server: expected http://HOST:PORT or https://HOST, found "${url}"`)
  return url.replace(/\/+$/, '')
}
