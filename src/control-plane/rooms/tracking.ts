import { RUN_ROUTES } from '../../api/v1/run-routes.ts'
import { Experiments } from '../../tracking/experiments.ts'
import { LoggedModels } from '../../tracking/logged-models.ts'
import { RunData } from '../../tracking/run-data.ts'
import { Runs } from '../../tracking/runs.ts'
import { TRACKING_EVENTS, TRACKING_TABLES } from '../../tracking/tables.ts'
import { purgeTracking } from '../../tracking/trash.ts'
import type { WatchServices } from '../../api/v1/watch.ts'
import type { Environments } from '../../ledger/environments.ts'
import type { Foundation, Room } from '../room.ts'

export interface Tracking {
  readonly experiments: Experiments
  readonly runs: Runs
  readonly runData: RunData
  readonly loggedModels: LoggedModels
}

/** Experiments, their runs, and the models that these have logged. */
export const TRACKING: Room<Foundation & WatchServices & { readonly environments: Environments }, Tracking> = {
  tables: TRACKING_TABLES,
  events: TRACKING_EVENTS,
  routes: RUN_ROUTES,
  open({ ground, environments }) {
    const experiments = new Experiments(ground)
    environments.receive({ begin: (name) => experiments.ensureDefault(name) })
    return { experiments, runs: new Runs(ground), runData: new RunData(ground), loggedModels: new LoggedModels(ground) }
  },
  sweep: async ({ ground }, { database }) => await purgeTracking({ ...ground, database }),
}
