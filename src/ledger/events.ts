/**
 * The ledger records for every stored change its actor and its environment, that it was made once, in which order, and who is notified.
 * This file writes down events.
 */
import { faultPoint } from '../core/fail-point.ts'
import { claimOnce } from './once.ts'
import { numberLate } from './counters.ts'
import { atCommit } from '../storage/sql/sessions.ts'
import type { Scope, Write } from './scope.ts'

/** Kinds of objects whose changes are recorded: each module adds its own (`tables.ts`, by `declare module`). */
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
  readonly action:
    | 'created'
    | 'updated'
    | 'deleted'
    | 'restored'
    | 'set'
    | 'renamed'
    | 'rotated'
    | 'revoked'
    | 'joined'
    | 'replaced'
    | 'adopted'
    | 'tested'
  readonly before?: object | undefined
  readonly after?: object | undefined
}

/** Numbers are in the order of commits: call this last in a transaction, as others wait for their number until it ends. */
export async function record(write: Write, scope: Scope, atMs: number, change: Change): Promise<void> {
  const { kind, name, action, before, after } = change
  await claimOnce(write, scope, change)
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
