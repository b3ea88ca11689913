import { News } from '../../api/news.ts'
import { ENVIRONMENT_ROUTES } from '../../api/v1/environment-routes.ts'
import { EVENT_ROUTES } from '../../api/v1/event-routes.ts'
import { WEBHOOK_ROUTES } from '../../api/v1/webhook-routes.ts'
import { Environments } from '../../ledger/environments.ts'
import { LEDGER_EVENTS } from '../../ledger/events.ts'
import { History } from '../../ledger/history.ts'
import { LEDGER_MIGRATIONS } from '../../ledger/migrations.ts'
import { freeAbandoned } from '../../ledger/once.ts'
import { sweepNotes } from '../../ledger/sweep.ts'
import { LEDGER_TABLES } from '../../ledger/tables.ts'
import { Webhooks } from '../../ledger/webhooks.ts'
import { webhookWork } from '../send-webhooks.ts'
import type { Foundation, Room } from '../room.ts'

export interface Ledger {
  readonly history: History
  /** Notifies callers, shortly afterwards, that there are new events. */
  readonly news: News
  readonly webhooks: Webhooks
  readonly environments: Environments
}

/** The ledger: the history of events, environments, and webhooks. */
export const LEDGER: Room<Foundation, Ledger> = {
  tables: LEDGER_TABLES,
  migrations: LEDGER_MIGRATIONS,
  events: LEDGER_EVENTS,
  routes: [...EVENT_ROUTES, ...ENVIRONMENT_ROUTES, ...WEBHOOK_ROUTES],
  async open({ ground, settings, house, ending }) {
    // SQLite has one control plane: attempts of an earlier process run no more.
    if (ground.database.dialect === 'sqlite') await freeAbandoned(ground)
    const history = new History(ground)
    return {
      history,
      news: new News(() => history.last(), ending),
      webhooks: new Webhooks(ground, {
        allowInside: settings.allowPrivateAddresses,
        mail: settings.mail !== undefined,
        kinds: house.events,
      }),
      environments: new Environments(ground),
    }
  },
  work: ({ ground, settings: { allowPrivateAddresses: allowInside, secrets, mail } }) => [
    webhookWork({ ground, allowInside, secrets, mail }),
  ],
  sweep: async ({ ground }, { database }) => ({ notes: await sweepNotes({ ...ground, database }) }),
}
