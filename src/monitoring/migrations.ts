import { sql } from 'kysely'
import type { Migration } from '../storage/sql/migration.ts'

/**
 * Migrations of the SQLite file that holds only windows. Its tables are those of the control plane's own migrations; files of earlier
 * releases had all other tables beside them, empty.
 */
export const WINDOWS_FILE_MIGRATIONS: readonly Migration[] = [
  {
    name: '0006-windows-alone',
    statements: [
      `create table if not exists window_keys (
        environment text not null,
        source text not null,
        server text not null,
        boot_id text not null,
        sequence bigint not null,
        subject text not null,
        received_at bigint not null,
        primary key (environment, source, server, boot_id, sequence, subject))`,
      `create index if not exists window_keys_received on window_keys (received_at)`,
      `create table if not exists window_rollups (
        environment text not null,
        span_ms bigint not null,
        start_ms bigint not null,
        endpoint text not null,
        variant text not null,
        model text not null,
        version text not null,
        segment bigint not null,
        source text not null,
        statistics text not null,
        primary key (environment, span_ms, start_ms, endpoint, variant, model, version, segment, source))`,
      `create index if not exists window_rollups_old on window_rollups (span_ms, start_ms)`,
    ],
    data: {
      name: 'drop the tables of the control plane',
      async run(write) {
        // Tables that refer to others were made after them, so they are dropped first.
        const { rows } = await sql<{ name: string }>`select name from sqlite_schema where type = 'table' order by rowid desc`.execute(write)
        for (const { name } of rows)
          if (!/^(window_keys|window_rollups|slipway_migrations|sqlite_.*)$/.test(name))
            await sql`drop table ${sql.table(name)}`.execute(write)
      },
    },
  },
]
