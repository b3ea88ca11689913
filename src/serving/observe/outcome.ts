import type { ErrorCode } from '../../core/errors.ts'
import type { CacheResult } from './events.ts'
import type { Decision } from '../router/decision.ts'

/** What a version did with a request: `overloaded`, it had no place or no instance for it; `cancelled`, its client did not wait. */
export type Outcome = 'answered' | 'failed' | 'late' | 'overloaded' | 'cancelled'

/** Outcomes that went wrong for whoever asked. */
export const WRONG: ReadonlySet<Outcome> = new Set<Outcome>(['failed', 'late', 'overloaded'])

const OUTCOMES: Partial<Record<ErrorCode, Outcome>> = {
  SLW_RUN_REJECTED: 'failed',
  SLW_OUTPUT_TOO_LARGE: 'failed',
  SLW_MEMORY_EXCEEDED: 'failed',
  SLW_INSTANCE_FAILED: 'failed',
  SLW_RUN_FAILED: 'failed',
  SLW_INTERNAL: 'failed',
  SLW_MODEL_INVALID: 'failed',
  SLW_LOAD_FAILED: 'failed',
  SLW_RUN_TIMEOUT: 'late',
  SLW_DEADLINE_EXCEEDED: 'late',
  SLW_LATENCY_GOAL: 'overloaded',
  SLW_QUEUE_FULL: 'overloaded',
  SLW_MODEL_NOT_READY: 'overloaded',
  SLW_CANCELLED: 'cancelled',
}

/**
 * The outcome of a request; undefined where it says nothing of the version: its client did something wrong (a body that is no good, or came too
 * slowly), or the server was closing.
 */
export function outcomeOf(code: ErrorCode | undefined): Outcome | undefined {
  return code === undefined ? 'answered' : OUTCOMES[code]
}

/** Whether a request is evidence: it was assigned at random, and the version itself answered. */
export function isEvidence(decision: Decision, cache: CacheResult | undefined): boolean {
  return decision.assignment === 'randomised' && cache !== 'hit' && cache !== 'shared'
}
