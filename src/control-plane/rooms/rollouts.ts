import { ROLLOUT_ROUTES } from '../../api/v1/rollout-routes.ts'
import { byRollout } from '../../rollouts/begin.ts'
import { rolloutGauges } from '../../rollouts/gauges.ts'
import { ROLLOUT_MIGRATIONS } from '../../rollouts/migrations.ts'
import { Rollouts } from '../../rollouts/rollouts.ts'
import { ROLLOUT_EVENTS, ROLLOUT_TABLES } from '../../rollouts/tables.ts'
import type { WatchServices } from '../../api/v1/watch.ts'
import { rolloutWork } from '../look-at-rollouts.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { LateStrategy } from '../../delivery/strategy-port.ts'
import type { Dependents } from '../../models/dependents.ts'
import type { Feedback } from '../../monitoring/feedback.ts'
import type { Windows } from '../../monitoring/windows.ts'
import type { RolloutGround } from '../../rollouts/rollouts.ts'
import type { Foundation, Room } from '../room.ts'

interface Needs extends Foundation, WatchServices {
  readonly delivery: Delivery
  readonly dependents: Dependents[]
  readonly feedback: Feedback
  readonly strategy: LateStrategy
  readonly windows: Windows
}

/** Rollouts: how a new version comes into force, and back where it is worse. */
export const ROLLOUTS: Room<Needs, { readonly rollouts: Rollouts; readonly rolloutGround: RolloutGround }> = {
  tables: ROLLOUT_TABLES,
  migrations: ROLLOUT_MIGRATIONS,
  events: ROLLOUT_EVENTS,
  routes: ROLLOUT_ROUTES,
  open({ ground, delivery, dependents, feedback, settings, strategy, windows }) {
    strategy.receive(byRollout)
    const outside = { secrets: settings.secrets, allowInside: settings.allowPrivateAddresses }
    const rolloutGround: RolloutGround = { ...ground, delivery, dependents, feedback, strategy, windows, outside }
    return { rollouts: new Rollouts(rolloutGround), rolloutGround }
  },
  gauges: ({ ground }) => rolloutGauges(ground.database.read),
  work: ({ rolloutGround, log }) => [rolloutWork(rolloutGround, log)],
  sweep: async ({ rolloutGround }, { database }) => ({ rollouts: await new Rollouts({ ...rolloutGround, database }).sweep() }),
}
