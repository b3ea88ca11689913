import type { Migration } from '../../storage/sql/migration.ts'

/**
 * The basis of rollouts, jobs and alerts: two revisions of an endpoint at a time, servers that report which routing they follow, and
 * work in the background that outlives the process that began it.
 */
export const seams: Migration = {
  name: '0005-seams',
  statements: [
    // A revision whose versions are served beside those of the one in force.
    `alter table routing_states add column beside bigint`,
    // Segment of the routing by which a server shares requests; null where its release does not report it.
    `alter table server_reports add column segment bigint`,
    // Work in the background. `claim_at` is the time from which an item may be claimed: when it is due, or when the lease of its
    // holder ends; null once it has ended. `token` grows with each claim: writes of a late holder are refused. `reserved_for` is
    // the holder that may claim first. Payload, progress, result and schedule are JSON.
    `create table work_items (
      id text primary key,
      kind text not null,
      unique_key text,
      payload text not null,
      state text not null,
      priority bigint not null,
      claim_at bigint,
      deadline_at bigint,
      attempts bigint not null,
      attempts_max bigint not null,
      token bigint not null,
      holder text,
      reserved_for text,
      progress text,
      result text,
      error text,
      schedule text,
      created_at bigint not null,
      started_at bigint,
      ended_at bigint)`,
    `create index work_items_claim on work_items (kind, priority, claim_at) where claim_at is not null`,
    `create unique index work_items_key on work_items (kind, unique_key) where unique_key is not null and claim_at is not null`,
    // Each claim first looks for running items whose lease is over: few of very many.
    `create index work_items_running on work_items (claim_at) where state = 'running'`,
    `create index work_items_deadline on work_items (deadline_at) where deadline_at is not null`,
    `create index work_items_listed on work_items (state, created_at, id)`,
    `create index work_items_newest on work_items (created_at, id)`,
    `create index work_items_counted on work_items (kind, state)`,
    `create index work_items_ended on work_items (ended_at) where ended_at is not null`,
  ],
}
