import { RECORD_ROUTES } from '../../api/v1/record-routes.ts'
import { RECORD_MIGRATIONS } from '../../records/migrations.ts'
import { Records } from '../../records/records.ts'
import { RECORD_EVENTS, RECORD_TABLES } from '../../records/tables.ts'
import type { Keys } from '../../access/keys.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Feedback } from '../../monitoring/feedback.ts'
import type { Windows } from '../../monitoring/windows.ts'
import type { WorkQueue } from '../../storage/work/work-queue.ts'
import type { Foundation, Room } from '../room.ts'

const DAY_MS = 24 * 3_600_000

interface Needs extends Foundation {
  /** Knows who speaks for which server. */
  readonly delivery: Delivery
  readonly keys: Keys
  readonly work: WorkQueue
  readonly windows: Windows
  readonly feedback: Feedback
}

/** Records of predictions: files that servers sent, and hours in Parquet. */
export const RECORDS: Room<Needs, { readonly records: Records }> = {
  tables: RECORD_TABLES,
  migrations: RECORD_MIGRATIONS,
  events: RECORD_EVENTS,
  routes: RECORD_ROUTES,
  open: ({ ground, objects, work, windows, feedback, settings: { recordsDays } }) => ({
    records: new Records({
      ...ground,
      objects,
      work,
      lifeMs: recordsDays * DAY_MS,
      async alsoForget(environment, unit, signal) {
        await feedback.forget(environment, unit)
        await windows.forget(environment, unit, signal)
      },
    }),
  }),
  work: ({ records }) => records.work(),
  sweep: async ({ records }, { database, signal }) => ({ recordPartitions: await records.sweep(database, signal) }),
}
