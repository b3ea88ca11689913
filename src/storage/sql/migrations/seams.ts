import type { Migration } from '../migration.ts'

/** What rollouts stand on: two revisions of an endpoint at a time, and servers that say which routing they follow. */
export const seams: Migration = {
  name: '0005-seams',
  statements: [
    // A revision whose versions are served beside those of the one in force.
    `alter table routing_states add column beside bigint`,
    // Of the routing by which a server shares requests; null where its release does not say.
    `alter table server_reports add column segment bigint`,
  ],
}
