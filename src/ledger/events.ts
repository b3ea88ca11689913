/**
 * Ledger says of everything that is kept on whose behalf and where it was done, that it was done once, in which order, and who is told.
 * This file writes down what happened.
 */
import { faultPoint } from '../core/fail-point.ts'
import { claimOnce } from './once.ts'
import { numberLate } from './counters.ts'
import { atCommit } from '../storage/sql/sessions.ts'
import type { Scope, Write } from './scope.ts'

/** What can be changed, and is told of: each room adds what it changes (`tables.ts`, by `declare module`). */
export interface EventKinds {
  webhook: unknown
  environment: unknown
}
export type EventKind = keyof EventKinds

export const LEDGER_EVENTS: readonly EventKind[] = ['webhook', 'environment']

/** One change of the registry, written in the transaction that made it. */
export interface Change {
  readonly kind: EventKind
  /** `churn`, `churn/3`, `churn@champion`. */
  readonly name: string
  readonly action: 'created' | 'updated' | 'deleted' | 'restored' | 'set' | 'renamed'
  readonly before?: object | undefined
  readonly after?: object | undefined
}

/** Numbers are those of commits: to be the last thing that a transaction does, as others wait for their number until it ends. */
export async function record(write: Write, scope: Scope, atMs: number, change: Change): Promise<void> {
  const { kind, name, action, before, after } = change
  await claimOnce(write, scope, change, atMs)
  const { counting, number } = numberLate(write, 'event')
  await atCommit(
    write,
    counting,
    write.insertInto('events').values({
      sequence: number,
      at: atMs,
      environment: scope.environment,
      actor: scope.actor,
      reason: scope.reason ?? null,
      action,
      kind,
      name,
      before: before === undefined ? null : JSON.stringify(before),
      after: after === undefined ? null : JSON.stringify(after),
    }),
  )
  await faultPoint('event.recorded')
}
