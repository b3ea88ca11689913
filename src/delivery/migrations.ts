import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { Migration } from '../storage/sql/migration.ts'

/** Steps of the tables of delivery, after the first ones that all rooms had together. */
export const DELIVERY_MIGRATIONS: readonly Migration[] = [
  {
    name: '0007-identity',
    statements: [
      // By which servers tell this database from another one at the same address; one that was restored has a new one.
      `create table identities (
        id text primary key,
        is_current bigint not null,
        created_at bigint not null,
        adopted_at bigint)`,
      // The identity that a server follows, where that is another one.
      `alter table servers add column follows text`,
    ],
    data: {
      name: 'the first identity',
      async run(write) {
        await sql`insert into identities (id, is_current, created_at, adopted_at) values (${randomUUID()}, 1, ${Date.now()}, null)`.execute(
          write,
        )
      },
    },
  },
  {
    name: '0010-speakers',
    statements: [
      // Which key speaks for a server, and by which token it has joined; until when no other key may.
      `create table speakers (
        environment text not null,
        server text not null,
        key_id text not null,
        key_name text not null,
        joined_by text,
        held_until bigint not null,
        primary key (environment, server))`,
      `create index speakers_key on speakers (key_id)`,
    ],
  },
  {
    name: '0011-ranges',
    // Points of the variants (contract/ranges), as JSON. Null: adjoining, in the order of the weights.
    statements: [`alter table routing_states add column ranges text`],
  },
]
