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

/** Steps of the tables of monitoring that lie in the control plane's own database. */
export const MONITORING_MIGRATIONS: readonly Migration[] = [
  {
    name: '0013-feedback',
    statements: [
      `create table feedback (
        environment text not null,
        prediction_id text not null,
        endpoint text not null,
        assigned text not null,
        served text not null,
        model text not null,
        version text not null,
        segment bigint not null,
        is_evidence bigint not null,
        is_numeric bigint not null,
        unit bigint,
        predicted text,
        predicted_at bigint not null,
        first_label text not null,
        first_at bigint not null,
        first_right bigint,
        last_label text not null,
        last_at bigint not null,
        last_right bigint,
        weight double precision not null,
        received_at bigint not null,
        primary key (environment, prediction_id))`,
      `create index feedback_predicted on feedback (environment, endpoint, predicted_at)`,
      `create index feedback_unit on feedback (environment, unit)`,
    ],
  },
]
