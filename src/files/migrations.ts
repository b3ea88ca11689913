import type { Migration } from '../storage/sql/migration.ts'

/** Steps of the tables of files, after the first ones that all rooms had together. */
export const FILES_MIGRATIONS: readonly Migration[] = [
  {
    name: '0009-held-for',
    statements: [
      // Who has sent the bytes: until files refer to them nobody else may use them. Null: nobody may.
      `alter table holds add column held_for text`,
      `create index holds_held_for on holds (held_for, content_id)`,
    ],
  },
]
