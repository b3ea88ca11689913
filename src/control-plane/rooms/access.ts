import { Keys } from '../../access/keys.ts'
import { People } from '../../access/people.ts'
import { Refusals } from '../../access/refusals.ts'
import { SignIn } from '../../access/sign-in.ts'
import { ACCESS_EVENTS, ACCESS_TABLES } from '../../access/tables.ts'
import { Access } from '../../api/access.ts'
import { authRoutes } from '../../api/auth.ts'
import { KEY_ROUTES } from '../../api/v1/key-routes.ts'
import { ROLE_ROUTES } from '../../api/v1/role-routes.ts'
import { TOKEN_ROUTES } from '../../api/v1/token-routes.ts'
import { repeat } from '../repeat.ts'
import type { AuthServices } from '../../api/auth.ts'
import type { WatchServices } from '../../api/v1/watch.ts'
import type { Environments } from '../../ledger/environments.ts'
import type { Foundation, Room } from '../room.ts'

/** Pause between two writes of refused calls to the database. */
const FLUSH_EVERY_MS = 5000

export interface AccessServices extends Omit<AuthServices, 'ground'> {
  readonly refusals: Refusals
}

/** Access control: keys, people, roles, and calls that were refused. */
export const ACCESS: Room<Foundation & WatchServices & { readonly environments: Environments }, AccessServices> = {
  tables: ACCESS_TABLES,
  events: ACCESS_EVENTS,
  routes: [...KEY_ROUTES, ...TOKEN_ROUTES, ...ROLE_ROUTES],
  doors: (services) => [{ prefix: '/auth', plugin: authRoutes(services) }],
  open({ ground, settings, log, opened }) {
    const { local, secure, allowedHosts, signIn: config, serving } = settings
    const keys = new Keys(ground)
    const people = new People(ground, { defaultRole: config?.defaultRole, admins: config?.admins ?? [] })
    const refusals = new Refusals(ground.database, ground.clock)
    opened.defer(() => refusals.flush())
    opened.defer(repeat(() => refusals.flush(), FLUSH_EVERY_MS, log))
    const access = new Access({ keys, people, local, secure, signIn: config !== undefined, allowedHosts, ownKey: serving?.key })
    return { keys, people, refusals, access, signIn: config === undefined ? undefined : new SignIn({ ...config, people }) }
  },
  async sweep({ ground }, { database }) {
    await new People({ ...ground, database }).sweep()
    await new Refusals(database, ground.clock).sweep()
    return {}
  },
}
