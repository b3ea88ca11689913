import { isSlipwayError } from '../core/errors.ts'
import { purgeTrash } from '../registry/trash.ts'
import { collect } from '../storage/collect.ts'
import { Leases } from '../storage/sql/leases.ts'
import type { Logger } from '../core/log.ts'
import type { Ground } from '../registry/ground.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'

export interface UpkeepOptions {
  readonly ground: Ground
  readonly objects: ObjectStore
  readonly log: Logger
  /** Who we are, for people who ask who has the lease. */
  readonly holder: string
}

/** How often it is done. */
export const UPKEEP_EVERY_MS: number = 10 * 60_000
/** How long a content stays that nothing refers to. */
const GRACE_MS = 3600_000
const LEASE_MS = 5 * 60_000

/** Empties the trash and collects files, in one of the control planes of a database at a time. */
export async function keepUp({ ground, objects, log, holder }: UpkeepOptions): Promise<void> {
  const { database, clock } = ground
  const lease = await new Leases(database, holder).acquire('upkeep', LEASE_MS)
  if (lease === undefined) return
  const renewing = setInterval(() => void lease.renew().catch(() => {}), LEASE_MS / 3)
  renewing.unref()
  try {
    const purged = await purgeTrash(ground)
    const collected = await collect({ database, objects, clock, graceMs: GRACE_MS })
    const counts = { ...purged, ...collected }
    if (Object.values(counts).some((count) => count > 0)) log.info(counts, 'taken away for good')
  } catch (error) {
    // What goes on elsewhere is done there. Doing it twice harms nobody: each step is one transaction.
    if (!isSlipwayError(error) || error.code !== 'SLW_LEASE_LOST') throw error
  } finally {
    clearInterval(renewing)
    await lease.release()
  }
}
