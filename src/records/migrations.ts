import type { Migration } from '../storage/sql/migration.ts'

/** Steps of the tables of records. */
export const RECORD_MIGRATIONS: readonly Migration[] = [
  {
    name: '0013-records',
    statements: [
      // Files that have arrived: each counts once.
      `create table record_keys (
        environment text not null,
        boot_id text not null,
        sequence bigint not null,
        received_at bigint not null,
        primary key (environment, boot_id, sequence))`,
      `create index record_keys_received on record_keys (received_at)`,
      // What has arrived and is in no partition yet.
      `create table record_batches (
        environment text not null,
        boot_id text not null,
        sequence bigint not null,
        endpoint text not null,
        object_key text not null,
        first_byte bigint not null,
        byte_count bigint not null,
        row_count bigint not null,
        from_ms bigint not null,
        until_ms bigint not null,
        received_at bigint not null,
        primary key (environment, boot_id, sequence, endpoint))`,
      `create index record_batches_received on record_batches (received_at)`,
      `create index record_batches_time on record_batches (environment, endpoint, until_ms)`,
      `create index record_batches_object on record_batches (object_key)`,
      // Parquet files, each with records of one endpoint and hour.
      `create table record_partitions (
        id text primary key,
        environment text not null,
        endpoint text not null,
        hour_ms bigint not null,
        object_key text not null,
        content_id text not null,
        chunks text not null,
        byte_count bigint not null,
        row_count bigint not null,
        from_ms bigint not null,
        until_ms bigint not null,
        created_at bigint not null)`,
      `create index record_partitions_time on record_partitions (environment, endpoint, until_ms)`,
      `create index record_partitions_old on record_partitions (until_ms)`,
      `create index record_partitions_object on record_partitions (object_key)`,
      `create table record_leftovers (
        object_key text primary key,
        since bigint not null)`,
      `create index record_leftovers_since on record_leftovers (since)`,
      `create table record_forgotten (
        environment text not null,
        unit_hash text not null,
        until_ms bigint not null,
        asked_at bigint not null,
        primary key (environment, unit_hash))`,
      // Grows with each unit that is forgotten: whoever stores records looks whether they have seen the last.
      `insert into counters (name, value) values ('forgotten', 0)`,
    ],
  },
]
