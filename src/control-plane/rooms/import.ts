import { IMPORT_ROUTES } from '../../api/v1/import-routes.ts'
import { Imports } from '../imports.ts'
import type { Inspect } from '../../models/servable.ts'
import type { WorkQueue } from '../../storage/work/work-queue.ts'
import type { WatchServices } from '../../api/v1/watch.ts'
import type { Foundation, Room } from '../room.ts'

/** Imports from servers of MLflow. */
export const IMPORT: Room<
  Foundation & WatchServices & { readonly inspect: Inspect; readonly work: WorkQueue },
  { readonly imports: Imports }
> = {
  routes: IMPORT_ROUTES,
  open: ({ ground, objects, inspect, work, settings: { allowPrivateAddresses } }) => ({
    imports: new Imports({ ground, objects, inspect, queue: work, allowInside: allowPrivateAddresses }),
  }),
  work: ({ imports }) => [imports.work],
}
