import type { Migration } from '../../storage/sql/migration.ts'

/**
 * Endpoints as declared state: the versions that their revisions resolved to, the servers that follow them, and the reports and windows
 * of these. On SQLite the tables of windows are used in a file of their own, so that rows that come every few seconds have another writer
 * than the registry.
 */
export const controlPlane: Migration = {
  name: '0004-control-plane',
  statements: [
    // The revision in force, and the number by which concurrent changes are detected.
    `alter table endpoints add column current_revision bigint not null default 0`,
    `alter table endpoints add column resource_version bigint not null default 1`,
    // JSON {at, by, reason, revision}: aliases are not followed since a rollback.
    `alter table endpoints add column suspended text`,
    // JSON {at, code, message}: the reason why an alias that has moved was not followed.
    `alter table endpoints add column held_back text`,
    // Time of cron's next look at the aliases.
    `alter table endpoints add column next_follow_at bigint`,
    `create index endpoints_due on endpoints (next_follow_at)`,
    // apply, alias, sync, cron, rollback, resume
    `alter table revisions add column cause text not null default 'apply'`,
    `alter table revisions add column generation bigint not null default 1`,
    // Of a rollback: the revision that it returned to.
    `alter table revisions add column rolled_back_to bigint`,
    // The aliases that an endpoint follows, and the versions that each revision serves.
    `create table endpoint_aliases (
      endpoint_id text not null references endpoints (id) on delete cascade,
      model text not null,
      alias text not null,
      primary key (endpoint_id, model, alias))`,
    `create index endpoint_aliases_alias on endpoint_aliases (model, alias)`,
    `create table revision_versions (
      endpoint_id text not null references endpoints (id) on delete cascade,
      number bigint not null,
      variant text not null,
      version_id text not null,
      primary key (endpoint_id, number, variant))`,
    `create index revision_versions_version on revision_versions (version_id)`,
    // Routing, which rollouts change and people do not: weights by variant (JSON), salt of the units, segment of the windows.
    `create table routing_states (
      endpoint_id text primary key references endpoints (id) on delete cascade,
      revision bigint not null,
      weights text not null,
      salt text not null,
      segment bigint not null,
      updated_at bigint not null)`,
    // Servers that follow, by the name that they give themselves, and their reports on each endpoint, until these expire.
    `create table servers (
      environment text not null,
      name text not null,
      boot_id text not null,
      release text not null,
      url text,
      stale_seconds double precision not null,
      clock_skew_ms bigint not null,
      message text,
      key_id text,
      first_seen_at bigint not null,
      last_seen_at bigint not null,
      expires_at bigint not null,
      primary key (environment, name))`,
    `create table server_reports (
      environment text not null,
      server text not null,
      endpoint_id text not null references endpoints (id) on delete cascade,
      revision bigint not null,
      versions text not null,
      reported_at bigint not null,
      expires_at bigint not null,
      primary key (environment, server, endpoint_id))`,
    `create index server_reports_endpoint on server_reports (endpoint_id, revision)`,
    // History of the reports: one row for each change.
    `create table server_report_changes (
      endpoint_id text not null references endpoints (id) on delete cascade,
      server text not null,
      at bigint not null,
      revision bigint not null,
      versions text not null,
      primary key (endpoint_id, server, at))`,
    // Keys of the windows that have arrived, so that each counts once.
    `create table window_keys (
      environment text not null,
      source text not null,
      server text not null,
      boot_id text not null,
      sequence bigint not null,
      subject text not null,
      received_at bigint not null,
      primary key (environment, source, server, boot_id, sequence, subject))`,
    `create index window_keys_received on window_keys (received_at)`,
    // Sums of the windows, by spans of 10 s, 1 min and 1 h. `statistics` is JSON: named statistics that merge.
    `create table window_rollups (
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
    `create index window_rollups_old on window_rollups (span_ms, start_ms)`,
    // --- environments and who may do what in them ----------------------------------------------------------------------
    `create table environments (
      name text primary key,
      description text,
      created_by text not null,
      created_at bigint not null)`,
    // People, as the issuer that they sign in with knows them. Groups are JSON, as of the last sign-in.
    `create table people (
      id text primary key,
      issuer text not null,
      subject text not null,
      name text not null,
      email text,
      groups text not null,
      created_at bigint not null,
      last_login_at bigint not null)`,
    `create unique index people_subject on people (issuer, subject)`,
    // Roles of people and groups; null stands for every environment or model.
    `create table role_bindings (
      id text primary key,
      subject_kind text not null,
      subject text not null,
      role text not null,
      environment text,
      model text,
      created_by text not null,
      created_at bigint not null)`,
    `create index role_bindings_subject on role_bindings (subject_kind, subject)`,
    // Sessions of browsers: `hash` is the SHA-256 of the cookie's value.
    `create table sessions (
      hash text primary key,
      person_id text not null references people (id) on delete cascade,
      csrf text not null,
      created_at bigint not null,
      last_seen_at bigint not null,
      expires_at bigint not null)`,
    // Sign-ins in progress: `hash` is the SHA-256 of the state, or of the handle of a device.
    `create table logins (
      hash text primary key,
      secret text not null,
      created_at bigint not null,
      expires_at bigint not null)`,
    // Keys of persons have their roles from the person; keys of machines may be for some models only (JSON).
    `alter table api_keys add column person_id text`,
    `alter table api_keys add column models text`,
    // Refused calls, counted by caller, route and code in each minute.
    `create table refusals (
      minute bigint not null,
      caller text not null,
      address text not null,
      route text not null,
      environment text not null,
      code text not null,
      count bigint not null,
      primary key (minute, caller, address, route, environment, code))`,
    // Number of the documents for servers: grows with every change of an endpoint. The era marks a database that was restored.
    `insert into counters (name, value) values ('delivery', 0)`,
    `insert into counters (name, value) values ('era', 0)`,
  ],
}
