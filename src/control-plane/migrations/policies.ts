import type { Migration } from '../../storage/sql/migration.ts'

/** What a model asks of its versions, who may sign them, and the numbers by which a change tells that it knows what it changes. */
export const policies: Migration = {
  name: '0002-policies',
  statements: [
    // JSON: ModelPolicy of contract/registry-api.
    `alter table models add column policy text not null default '{}'`,
    // Grow with every change; what clients send back as If-Match.
    `alter table models add column revision bigint not null default 1`,
    `alter table versions add column revision bigint not null default 1`,
    // Whose signatures are believed: a public key, or a certificate that others are signed by. The id is the SHA-256 of the PEM.
    `create table signers (
      id text not null,
      environment text not null,
      name text not null,
      kind text not null,
      pem text not null,
      created_by text not null,
      created_at bigint not null,
      primary key (environment, id))`,
    `create unique index signers_name on signers (environment, name)`,
    // Signatures of versions that held when they came: a Sigstore bundle each.
    `create table version_signatures (
      version_id text not null references versions (id) on delete cascade,
      signer_id text not null,
      bundle text not null,
      created_by text not null,
      created_at bigint not null,
      primary key (version_id, signer_id))`,
    // Up to which event deliveries have been written.
    `insert into counters (name, value) select 'webhook', value from counters where name = 'event'`,
  ],
}
