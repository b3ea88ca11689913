import type { RetryRules } from './options.ts'

/**
 * Pause before the next request, in milliseconds: chance chooses from 0 to a bound that doubles (M. Brooker, "Exponential Backoff And
 * Jitter", 2015: full jitter), on top of what the server asked for, so that clients that were sent away together do not return together.
 * @param attempt number of the request that failed, from 1
 * @param random from 0 to below 1
 */
export function pauseMs(attempt: number, random: number, { baseMs, maxMs }: RetryRules, retryAfterMs = 0): number {
  return retryAfterMs + random * Math.min(maxMs, baseMs * 2 ** (attempt - 1))
}

/** The header Retry-After (RFC 9110, section 10.2.3), in milliseconds; undefined where it says nothing. */
export function retryAfterOf(header: string | null | undefined, epochMs: number): number | undefined {
  if (header === null || header === undefined) return undefined
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000
  // Dates of HTTP alone: engines read nearly anything as some date.
  const date = /^[A-Za-z]+, .* GMT$/.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - epochMs)
}
