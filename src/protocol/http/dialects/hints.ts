/** What a server says at a path that no route takes: which dialect its client may mean, and where that is spoken or how it is turned on. */
import { RouteTable } from '../routes.ts'
import { DIALECTS } from './dialects.ts'
import { routesOf } from './routes-of.ts'
import { isOfAdmins, sharedRoute } from './speak.ts'
import type { Route } from '../routes.ts'
import type { DialectHost } from './dialect.ts'
import type { AdminPlace } from './speak.ts'

/** A dialect that a server was told to speak, over any protocol; `port` undefined: on that of the server. */
export interface Chosen {
  readonly name: string
  readonly port?: number | undefined
}

interface Known {
  readonly name: string
  readonly of: string
  readonly routes: readonly Route[]
  readonly table: RouteTable
  /** Undefined where the server does not speak it. */
  readonly chosen: Chosen | undefined
}

/** @returns what to tell a client at a path that no route takes; undefined where no dialect has it */
export function hintsOf(
  chosen: readonly Chosen[],
  host: DialectHost,
  admin: AdminPlace,
): (method: string, path: string) => string | undefined {
  let known: readonly Known[] | undefined
  return (method, path) => {
    // The root is a health check to some, and to people a place to look.
    if (path === '/') return undefined
    // Made by the first who asks: most servers never need it.
    known ??= knownOf(chosen, host)
    const meant = known.filter(({ table }) => table.find(method, path) !== null)
    const elsewhere = meant.find((dialect) => dialect.chosen !== undefined)
    if (elsewhere !== undefined) return placeOf(elsewhere, elsewhere.table.find(method, path)!.store, admin)
    if (meant.length === 0) return undefined
    const ways = meant.map((dialect) => `of ${dialect.of} (--dialects ${listWith(dialect, chosen, known!)})`)
    return `that route is ${ways.join(', or ')}, which this server was not told to speak`
  }
}

function knownOf(chosen: readonly Chosen[], host: DialectHost): Known[] {
  return DIALECTS.map((dialect) => {
    const { name, of = name } = dialect
    const routes = routesOf(dialect, host)
    return { name, of, routes, table: new RouteTable(routes), chosen: chosen.find((one) => one.name === name) }
  })
}

/** Where a dialect is spoken, as it is not where the client has asked. */
function placeOf({ of, chosen }: Known, route: Route, admin: AdminPlace): string {
  if (isOfAdmins(route) && admin === 'off') return 'administration is off: set SLIPWAY_ADMIN_TOKEN or adminTokenFile (--admin-token-file)'
  if (isOfAdmins(route) && admin === 'apart') return `that route is of ${of}, and administration has a port of its own (adminPort)`
  return `that route is of ${of}, which this server speaks on ${chosen?.port === undefined ? 'its first port' : `port ${chosen.port}`}`
}

/** The list of dialects with one more; that one has a port of its own where another has its routes. */
function listWith({ name, routes }: Known, chosen: readonly Chosen[], known: readonly Known[]): string {
  const beside = known.filter((other) => other.chosen !== undefined && other.chosen.port === undefined)
  const taken = beside.some((other) => sharedRoute(routes, other.routes) !== undefined)
  return [...chosen.map(entryOf), taken ? `${name}@PORT` : name].join(',')
}

function entryOf({ name, port }: Chosen): string {
  return port === undefined ? name : `${name}@${port}`
}
