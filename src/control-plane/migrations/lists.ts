import type { Migration } from '../../storage/sql/migration.ts'

/** Indexes to list and count very many versions. SQLite needs `deleted_at` within the key: it would not read a partial index alone. */
export const lists: Migration = {
  name: '0003-lists',
  statements: [
    `create index versions_live on versions (deleted_at, updated_at desc, model_id, id)`,
    `create index versions_of_model on versions (model_id, deleted_at, updated_at desc)`,
    `create index versions_newest on versions (model_id, stage, deleted_at, number)`,
  ],
}
