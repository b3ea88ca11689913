import { sql } from 'kysely'
import { News } from '../../api/news.ts'
import { ENDPOINT_ROUTES, retoldEndpoint } from '../../api/v1/endpoint-routes.ts'
import { FOLLOW_ROUTES } from '../../api/v1/follow-routes.ts'
import { Delivery, endpointDependents } from '../../delivery/delivery.ts'
import { becomeAnother } from '../../delivery/identity.ts'
import { DELIVERY_MIGRATIONS } from '../../delivery/migrations.ts'
import { renewReceiptKeys } from '../../delivery/receipt-keys.ts'
import { anyEndpointIn } from '../../delivery/read-endpoints.ts'
import { Servers } from '../../delivery/servers.ts'
import { atOnce } from '../../delivery/strategy.ts'
import { LateStrategy } from '../../delivery/strategy-port.ts'
import { DELIVERY_EVENTS, DELIVERY_TABLES } from '../../delivery/tables.ts'
import { followWork } from '../follow-due.ts'
import type { Keys } from '../../access/keys.ts'
import type { Contents } from '../../files/contents.ts'
import type { Environments } from '../../ledger/environments.ts'
import type { History } from '../../ledger/history.ts'
import type { Dependents } from '../../models/dependents.ts'
import type { Foundation, Room } from '../room.ts'

/** Pause between two looks for new documents while servers wait for one. */
const DELIVERY_LOOK_MS = 50

interface Needs extends Foundation {
  readonly contents: Contents
  readonly dependents: Dependents[]
  readonly environments: Environments
  readonly history: History
  readonly keys: Keys
  readonly news: News
}

/** Endpoints, the servers that follow them, and the documents between both. */
export const DELIVERY: Room<Needs, { readonly delivery: Delivery; readonly deliveryNews: News; readonly strategy: LateStrategy }> = {
  tables: DELIVERY_TABLES,
  migrations: DELIVERY_MIGRATIONS,
  events: DELIVERY_EVENTS,
  routes: [...ENDPOINT_ROUTES, ...FOLLOW_ROUTES],
  retold: { endpoint: retoldEndpoint },
  open({ ground, dependents, environments, ending }) {
    const strategy = new LateStrategy(atOnce)
    const delivery = new Delivery({ ...ground, dependents, strategy })
    dependents.push(endpointDependents({ ...ground, strategy }))
    environments.receive({ occupied: anyEndpointIn })
    return { delivery, strategy, deliveryNews: new News(() => delivery.states.generation(), ending, DELIVERY_LOOK_MS) }
  },
  work: ({ ground, dependents, strategy }) => [followWork({ ...ground, dependents, strategy })],
  sweep: async ({ ground }, { database }) => ({
    servers: await new Servers({ ...ground, database }).sweep(),
    receiptKeys: await database.write((write) => renewReceiptKeys(write, ground.clock.epochMs())),
  }),
  // Servers that follow have seen later documents of the database that was lost: documents of a new era count as newer still.
  async restored(write) {
    await sql`update counters set value = ${Date.now()} where name = 'era'`.execute(write)
    await becomeAnother(write, Date.now())
  },
}
