import type { Migration } from '../../storage/sql/migration.ts'

/** Requirements of a model for its versions, trusted signers, and the numbers by which concurrent changes are detected. */
export const policies: Migration = {
  name: '0002-policies',
  statements: [
    // JSON: ModelPolicy of contract/registry-api.
    `alter table models add column policy text not null default '{}'`,
    // Numbers that grow with every change; clients send them back as If-Match.
    `alter table models add column revision bigint not null default 1`,
    `alter table versions add column revision bigint not null default 1`,
    // Trusted signers: a public key, or a certificate that others are signed by. The id is the SHA-256 of the PEM.
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
    // Signatures of versions that were valid when they came: a Sigstore bundle each.
    `create table version_signatures (
      version_id text not null references versions (id) on delete cascade,
      signer_id text not null,
      bundle text not null,
      created_by text not null,
      created_at bigint not null,
      primary key (version_id, signer_id))`,
    // The last event for which deliveries have been written.
    `insert into counters (name, value) select 'webhook', value from counters where name = 'event'`,
  ],
}
