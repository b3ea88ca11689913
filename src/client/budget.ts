import type { BudgetRules } from './options.ts'

/**
 * How often a client may send again, all its calls together: without a bound, clients that repeat turn a short outage into a long one.
 * A bucket of tokens that calls and time fill, and repeats and hedges empty.
 */
export interface Budget {
  /** A call has begun. */
  earn(nowMs: number): void
  /** Whether one more request may be sent; it is then paid for. */
  take(nowMs: number): boolean
}

export function createBudget({ ratio, perSecond, burst }: BudgetRules, nowMs: number): Budget {
  let tokens = burst
  let filledMs = nowMs
  const fill = (now: number, more: number): void => {
    tokens = Math.min(burst, tokens + more + (Math.max(0, now - filledMs) / 1000) * perSecond)
    filledMs = now
  }
  return {
    earn: (now) => fill(now, ratio),
    take(now) {
      fill(now, 0)
      // A tenth ten times is a little less than one.
      if (tokens < 1 - 1e-9) return false
      tokens = Math.max(0, tokens - 1)
      return true
    },
  }
}
