import { SlipwayError } from '../core/errors.ts'
import { holdLease } from '../storage/sql/held-lease.ts'
import { COLLECT_LEASE } from './make-backup.ts'
import { ROOMS } from './rooms.ts'
import type { WorkKind } from '../storage/work/worker.ts'
import type { Services } from './rooms.ts'

/** Interval of the upkeep. */
const UPKEEP_EVERY_MS = 10 * 60_000

/** Empties the trash, collects files and deletes old rows: the sweeps of all rooms. */
export function upkeepWork(services: Services): WorkKind {
  return {
    kind: 'upkeep',
    standing: { key: 'upkeep', schedule: { everyMs: UPKEEP_EVERY_MS }, dueInMs: 0 },
    // Never final: the holder of the lease may be gone in a minute.
    isFinal: () => false,
    async run({ database }, signal) {
      const { ground, holder, log } = services
      await using lease = await holdLease({ database: ground.database, holder, name: COLLECT_LEASE })
      if (lease === undefined)
        throw new SlipwayError('SLW_CONFLICT', 'a backup is being made, or files are being collected: nothing is taken away meanwhile')
      const counts = await ROOMS.sweep(services, { database, signal: AbortSignal.any([signal, lease.lost]) })
      if (Object.values(counts).some((count) => count > 0)) log.info(counts, 'taken away for good')
      return counts
    },
  }
}
