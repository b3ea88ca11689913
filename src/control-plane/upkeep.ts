import { People } from '../access/people.ts'
import { Refusals } from '../access/refusals.ts'
import { Servers } from '../delivery/servers.ts'
import { SlipwayError } from '../core/errors.ts'
import { Windows } from '../monitoring/windows.ts'
import { purgeTrash } from '../registry/trash.ts'
import { collect } from '../storage/collect.ts'
import { holdLease } from '../storage/sql/held-lease.ts'
import type { Logger } from '../core/log.ts'
import type { Ground } from '../ledger/scope.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'
import type { WorkQueue } from '../storage/work/work-queue.ts'
import type { WorkKind } from '../storage/work/worker.ts'

export interface UpkeepOptions {
  readonly ground: Ground
  readonly objects: ObjectStore
  /** Where windows lie: on SQLite a file of its own, which this process has to itself. */
  readonly windows: Database
  readonly queue: WorkQueue
  readonly log: Logger
}

/** Whoever has it may take files away; whoever wants none to go holds it. */
export const COLLECT_LEASE = 'collect'
/** How often it is done. */
const UPKEEP_EVERY_MS = 10 * 60_000
/** How long a content stays that nothing refers to. */
const GRACE_MS = 3600_000
/** How long it is known what came of work. */
const WORK_LIFE_MS = 30 * 24 * 3600_000

/** Empties the trash, collects files, forgets what is old. Doing it twice harms nobody: each step is one transaction. */
export function upkeepWork(options: UpkeepOptions): WorkKind {
  return {
    kind: 'upkeep',
    standing: { key: 'upkeep', schedule: { everyMs: UPKEEP_EVERY_MS }, dueInMs: 0 },
    // Whoever is in the way may be gone in a minute.
    isFinal: () => false,
    async run({ database }, signal) {
      const { queue, ground } = options
      await using lease = await holdLease({ database: ground.database, holder: queue.holder, name: COLLECT_LEASE })
      if (lease === undefined)
        throw new SlipwayError('SLW_CONFLICT', 'a backup is being made, or files are being collected: nothing is taken away meanwhile')
      return await keepUp(options, database, AbortSignal.any([signal, lease.lost]))
    },
  }
}

/** @param database whose transactions fail once another process has taken over */
async function keepUp(
  { ground: given, objects, windows, queue, log }: UpkeepOptions,
  database: Database,
  signal: AbortSignal,
): Promise<object> {
  const ground = { ...given, database }
  const { clock } = ground
  const purged = await purgeTrash(ground)
  const collected = await collect({ database, objects, clock, graceMs: GRACE_MS, signal })
  const counts = { ...purged, ...collected, servers: await new Servers(ground).sweep(), work: await queue.sweep(database, WORK_LIFE_MS) }
  await new Windows(windows === given.database ? database : windows, clock).sweep()
  await new People(ground).sweep()
  await new Refusals(database, clock).sweep()
  if (Object.values(counts).some((count) => count > 0)) log.info(counts, 'taken away for good')
  return counts
}
