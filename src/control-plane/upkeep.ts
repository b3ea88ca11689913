import { purgeTrash } from '../registry/trash.ts'
import { collect } from '../storage/collect.ts'
import { underLease } from './under-lease.ts'
import type { People } from '../access/people.ts'
import type { Refusals } from '../access/refusals.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Windows } from '../monitoring/windows.ts'
import type { Logger } from '../core/log.ts'
import type { Ground } from '../registry/ground.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'

export interface UpkeepOptions {
  readonly ground: Ground
  readonly objects: ObjectStore
  readonly log: Logger
  readonly delivery: Delivery
  readonly windows: Windows
  readonly people: People
  readonly refusals: Refusals
  /** Who we are, for people who ask who has the lease. */
  readonly holder: string
}

/** Whoever has it may take files away; whoever wants none to go holds it. */
export const UPKEEP_LEASE = 'upkeep'
/** How often it is done. */
export const UPKEEP_EVERY_MS: number = 10 * 60_000
/** How long a content stays that nothing refers to. */
const GRACE_MS = 3600_000

/** Empties the trash and collects files. Doing it twice harms nobody: each step is one transaction. */
export async function keepUp({ ground, objects, log, holder, delivery, windows, people, refusals }: UpkeepOptions): Promise<void> {
  const { database, clock } = ground
  await underLease({ database, holder, name: UPKEEP_LEASE, log }, async () => {
    const purged = await purgeTrash(ground)
    const collected = await collect({ database, objects, clock, graceMs: GRACE_MS })
    const counts = { ...purged, ...collected, servers: await delivery.servers.sweep() }
    await windows.sweep()
    await people.sweep()
    await refusals.sweep()
    if (Object.values(counts).some((count) => count > 0)) log.info(counts, 'taken away for good')
  })
}
