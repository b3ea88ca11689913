import type { Migration } from '../../src/storage/sql/migration.ts'

/** Migrations that cannot be applied twice. */
export const STEPS: readonly Migration[] = Array.from({ length: 8 }, (_, n) => ({
  name: `000${n + 1}-step`,
  statements: [`create table step_${n + 1} (id text primary key)`, `insert into step_${n + 1} (id) values ('row')`],
}))
