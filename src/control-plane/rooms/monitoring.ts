import { WINDOW_ROUTES } from '../../api/v1/window-routes.ts'
import { COMPARISON_ROUTES } from '../../api/v1/comparison-routes.ts'
import { FEEDBACK_ROUTES } from '../../api/v1/feedback-routes.ts'
import { Feedback } from '../../monitoring/feedback.ts'
import { MONITORING_MIGRATIONS } from '../../monitoring/migrations.ts'
import { MONITORING_TABLES } from '../../monitoring/tables.ts'
import { Windows } from '../../monitoring/windows.ts'
import { openWindowsDatabase } from '../databases.ts'
import type { Keys } from '../../access/keys.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Foundation, Room } from '../room.ts'

interface Needs extends Foundation {
  /** Knows who speaks for which server. */
  readonly delivery: Delivery
  readonly keys: Keys
}

/** Monitoring: the windows that servers sent, on SQLite in a file of their own, and the labels that came for predictions. */
export const MONITORING: Room<Needs, { readonly windows: Windows; readonly feedback: Feedback }> = {
  tables: MONITORING_TABLES,
  migrations: MONITORING_MIGRATIONS,
  routes: [...WINDOW_ROUTES, ...FEEDBACK_ROUTES, ...COMPARISON_ROUTES],
  async open({ ground, settings: { database, databasePassword: password }, house, opened }) {
    return {
      windows: new Windows(opened.use(await openWindowsDatabase(database, { migrations: house.migrations, password })), ground.clock),
      feedback: new Feedback(ground.database, ground.clock),
    }
  },
  async sweep({ ground, windows }, { database }) {
    // On SQLite the windows' own file belongs to this process alone.
    await (ground.database.dialect === 'sqlite' ? windows : new Windows(database, ground.clock)).sweep()
    return { feedback: await new Feedback(database, ground.clock).sweep() }
  },
}
