/** Which dialects a server speaks on which port, and what it says of those that it does not speak. */
import { SlipwayError } from '../../../core/errors.ts'
import { RouteTable } from '../routes.ts'
import { DIALECTS } from './dialects.ts'
import { routesOf } from './routes-of.ts'
import type { Route } from '../routes.ts'
import type { Dialect, DialectHost } from './dialect.ts'

/** A dialect that is spoken; `port` undefined: on that of the server. */
export interface SpokenDialect {
  readonly dialect: Dialect
  readonly port: number | undefined
  readonly routes: readonly Route[]
}

/** The dialects that were chosen, with their routes. @throws SLW_CONFIG_INVALID for two on one port that share a route */
export function speak(chosen: readonly { readonly name: string; readonly port: number | undefined }[], host: DialectHost): SpokenDialect[] {
  const spoken = chosen.map(({ name, port }) => {
    const dialect = DIALECTS.find((one) => one.name === name)!
    return { dialect, port, routes: routesOf(dialect, host) }
  })
  for (const [index, one] of spoken.entries())
    for (const other of spoken.slice(0, index)) {
      const shared = one.port === other.port ? one.routes.find((route) => other.routes.some((its) => isSame(its, route))) : undefined
      if (shared !== undefined)
        throw new SlipwayError(
          'SLW_CONFIG_INVALID',
          `dialects: ${other.dialect.name} and ${one.dialect.name} both have ${shared.method} ${shared.path}; give one a port of its own, as in ${one.dialect.name}@8471`,
        )
    }
  return spoken
}

/** Where calls of administration go: nowhere, to a port of their own, or beside the other routes. */
export type AdminPlace = 'off' | 'apart' | 'beside'

export interface RoutesByPort {
  readonly routes: readonly Route[]
  readonly apart: readonly { readonly port: number; readonly routes: readonly Route[] }[]
  /** Those of dialects that go to the port of administration. */
  readonly adminRoutes: readonly Route[]
}

/** The routes of each port: on that of the server beside `base`, on that of dialects alone beside `health`. */
export function byPort(
  spoken: readonly SpokenDialect[],
  { base, health, admin }: { readonly base: readonly Route[]; readonly health: readonly Route[]; readonly admin: AdminPlace },
): RoutesByPort {
  const groups = Map.groupBy(spoken, ({ port }) => port)
  const of = (port: number | undefined): Route[] =>
    (groups.get(port)?.flatMap(({ routes }) => routes) ?? []).filter((route) => admin === 'beside' || !isOfAdmins(route))
  const ports = [...groups.keys()].filter((port) => port !== undefined)
  return {
    routes: over(of(undefined), [...health, ...base]),
    apart: ports.map((port) => ({ port, routes: over(of(port), health) })),
    adminRoutes: admin === 'apart' ? spoken.flatMap(({ routes }) => routes.filter(isOfAdmins)) : [],
  }
}

function isOfAdmins({ access }: Route): boolean {
  return access === 'admin'
}

/** Routes of a listener: those of dialects go over those that every server has. */
function over(routes: readonly Route[], base: readonly Route[]): Route[] {
  return [...routes, ...base.filter((route) => !routes.some((other) => isSame(other, route)))]
}

function isSame(one: Route, other: Route): boolean {
  return one.method === other.method && withoutNames(one.path) === withoutNames(other.path)
}

/** A path whose parameters have no names and no patterns; two colons are one of the path itself. */
function withoutNames(path: string): string {
  return path.replaceAll(/(?<!:):\w+(?:\([^)]*\))?/g, ':')
}

/** What to tell a client at a path that no route takes: how the dialect is turned on that it may mean. */
export function hintsOf(
  chosen: readonly { readonly name: string }[],
  host: DialectHost,
  admin: AdminPlace,
): (method: string, path: string) => string | undefined {
  const names = chosen.map(({ name }) => name)
  let forbidden: RouteTable | undefined
  let off: { readonly name: string; readonly of: string; readonly table: RouteTable }[] | undefined
  return (method, path) => {
    // The root is a health check to some, and to people a place to look.
    if (path === '/') return undefined
    // Made by the first who asks: most servers never need it.
    off ??= DIALECTS.filter(({ name }) => !names.includes(name)).map((dialect) => ({
      name: dialect.name,
      of: dialect.of ?? dialect.name,
      table: new RouteTable(routesOf(dialect, host)),
    }))
    if (admin === 'off') {
      forbidden ??= new RouteTable(
        DIALECTS.filter(({ name }) => names.includes(name)).flatMap((dialect) => routesOf(dialect, host).filter(isOfAdmins)),
      )
      if (forbidden.find(method, path) !== null)
        return 'administration is off: set SLIPWAY_ADMIN_TOKEN or adminTokenFile (--admin-token-file)'
    }
    const meant = off.filter(({ table }) => table.find(method, path) !== null)
    if (meant.length === 0) return undefined
    const ways = meant.map(({ name, of }) => `of ${of} (--dialects ${[...names, name].join(',')})`)
    return `that route is ${ways.join(', or ')}, which this server was not told to speak`
  }
}
