import { metricsRoutes } from '../../api/metrics.ts'
import { WORK_ROUTES } from '../../api/v1/work-routes.ts'
import { STORAGE_TABLES } from '../../storage/tables.ts'
import { workGauges } from '../../storage/work/gauges.ts'
import { WorkQueue } from '../../storage/work/work-queue.ts'
import type { EntryServices } from '../../api/enter.ts'
import type { WatchServices } from '../../api/v1/watch.ts'
import type { Foundation, Room } from '../room.ts'

/** Time that ended work is kept. */
const WORK_LIFE_MS = 30 * 24 * 3600_000

/** Work in the background: items that wait, run, or have ended. */
export const WORK: Room<Foundation & EntryServices & WatchServices, { readonly work: WorkQueue }> = {
  tables: STORAGE_TABLES,
  routes: WORK_ROUTES,
  doors: (services) => [{ prefix: '', plugin: metricsRoutes(services, () => services.house.gauges(services)) }],
  gauges: ({ work, keptFolders }) => workGauges(work, keptFolders),
  open: ({ ground: { database, newId }, holder }) => ({ work: new WorkQueue({ database, holder, newId }) }),
  sweep: async ({ work }, { database }) => ({ work: await work.sweep(database, WORK_LIFE_MS) }),
}
