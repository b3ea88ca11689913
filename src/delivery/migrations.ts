import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { versionsText } from './routing-document.ts'
import { newReceiptKey } from '../security/receipts.ts'
import type { ResolvedVariant } from './resolve.ts'
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
  {
    name: '0012-evidence',
    statements: [
      // Percent of copies by variant, and latency edges in milliseconds, as JSON. Null: none.
      `alter table routing_states add column shadows text`,
      `alter table routing_states add column edges text`,
      // Shares under each segment, by which windows of it are judged.
      `create table routing_segments (
        endpoint_id text not null references endpoints (id) on delete cascade,
        segment bigint not null,
        weights text not null,
        ranges text not null,
        versions text not null,
        began_at bigint not null,
        primary key (endpoint_id, segment))`,
      // Keys by which servers sign receipts of predictions.
      `create table receipt_keys (
        endpoint_id text not null references endpoints (id) on delete cascade,
        id text not null,
        secret text not null,
        created_at bigint not null,
        primary key (endpoint_id, id))`,
    ],
    data: {
      name: 'keys of receipts, and the segments in force',
      async run(write) {
        const { rows } = await sql<{ id: string }>`select id from endpoints where deleted_at is null`.execute(write)
        for (const { id } of rows) {
          const key = newReceiptKey()
          await sql`insert into receipt_keys (endpoint_id, id, secret, created_at) values (${id}, ${key.id}, ${key.secret}, ${Date.now()})`.execute(
            write,
          )
        }
        const routed = await sql<{
          endpoint_id: string
          segment: number
          weights: string
          ranges: string | null
          updated_at: number
          resolved: string
        }>`
          select routing_states.endpoint_id, segment, weights, ranges, updated_at, resolved from routing_states
          join revisions on revisions.endpoint_id = routing_states.endpoint_id and revisions.number = routing_states.revision`.execute(
          write,
        )
        for (const { endpoint_id: id, segment, weights, ranges, updated_at: at, resolved } of routed.rows) {
          const versions = versionsText(JSON.parse(resolved) as ResolvedVariant[])
          await sql`insert into routing_segments (endpoint_id, segment, weights, ranges, versions, began_at)
            values (${id}, ${segment}, ${weights}, ${ranges ?? ''}, ${versions}, ${at})`.execute(write)
        }
      },
    },
  },
  {
    name: '0014-routing',
    // What a rollout needs of a routing: audiences of variants (JSON), a fresh copy of the version before, and after how many milliseconds
    // without news servers go back to it.
    statements: [
      `alter table routing_states add column audiences text`,
      `alter table routing_states add column baseline bigint not null default 0`,
      `alter table routing_states add column lost_after bigint`,
    ],
  },
]
