import { Endpoints } from '../delivery/endpoints.ts'
import type { DeliveryGround } from '../delivery/ground.ts'
import type { WorkKind } from '../storage/work/worker.ts'

/** Interval of looking for endpoints that are due. */
const CLOCK_EVERY_MS = 1000

/** Looks at the aliases of endpoints that follow by a schedule. */
export function followWork(ground: DeliveryGround): WorkKind {
  const { database, clock } = ground
  return {
    kind: 'follow',
    standing: { key: 'follow', schedule: { everyMs: CLOCK_EVERY_MS }, dueInMs: 0 },
    async isWanted() {
      const due = await database.read
        .selectFrom('endpoints')
        .select('id')
        .where('next_follow_at', '<=', clock.epochMs())
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      return due !== undefined
    },
    run: (claim) => new Endpoints({ ...ground, database: claim.database }).followDue(),
  }
}
