import type { Migration } from '../storage/sql/migration.ts'

/** Steps of the ledger's tables, after the first ones that all rooms had together. */
export const LEDGER_MIGRATIONS: readonly Migration[] = [
  {
    name: '0006-once',
    statements: [
      // A request is noted before it changes anything: by which attempt, and later which object it has changed.
      `alter table idempotency_keys add column attempt text`,
      `alter table idempotency_keys add column kind text`,
      `alter table idempotency_keys add column name text`,
      // JSON: headers of the answer.
      `alter table idempotency_keys add column headers text`,
      // Whether the answer is encrypted, because a secret is in it.
      `alter table idempotency_keys add column sealed bigint not null default 0`,
      // Before, the attempt and the object stood in the answer until there was one.
      `update idempotency_keys set kind = 'request', name = '', answer = null where status is null`,
    ],
  },
  {
    name: '0014-notifications',
    // In which form a receiver is told; those of before take events as they are.
    statements: [`alter table webhooks add column format text not null default 'event'`],
  },
]
