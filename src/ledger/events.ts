import { faultPoint } from '../core/fail-point.ts'
import { claimOnce } from './once.ts'
import { numberLate } from './counters.ts'
import { atCommit } from '../storage/sql/sessions.ts'
import type { Scope, Write } from './scope.ts'

/** What can be changed, and is told of. */
export const EVENT_KINDS = [
  'experiment',
  'run',
  'logged_model',
  'model',
  'version',
  'alias',
  'signer',
  'webhook',
  'key',
  'endpoint',
  'server',
  'environment',
  'role',
] as const
export type EventKind = (typeof EVENT_KINDS)[number]

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
