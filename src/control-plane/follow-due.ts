import { underLease } from './under-lease.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Logger } from '../core/log.ts'
import type { Ground } from '../registry/ground.ts'

/** Lets endpoints that follow by a clock look at their aliases, in one of the control planes of a database at a time. */
export async function followDue(
  delivery: Delivery,
  { ground, holder, log }: { ground: Ground; holder: string; log: Logger },
): Promise<void> {
  const { database, clock } = ground
  const due = await database.read
    .selectFrom('endpoints')
    .select('id')
    .where('next_follow_at', '<=', clock.epochMs())
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (due === undefined) return
  await underLease({ database, holder, name: 'follow', log }, (fenced) => delivery.endpoints.followDue(fenced))
}
