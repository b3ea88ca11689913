/** Which dialects a server speaks on which port. */
import { SlipwayError } from '../../../core/errors.ts'
import { DIALECTS } from './dialects.ts'
import { routesOf } from './routes-of.ts'
import type { ErrorForm } from '../error-form.ts'
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
      const shared = one.port === other.port ? sharedRoute(one.routes, other.routes) : undefined
      if (shared !== undefined)
        throw new SlipwayError(
          'SLW_CONFIG_INVALID',
          `dialects: ${other.dialect.name} and ${one.dialect.name} both have ${shared.method} ${shown(shared.path)}; give one a port of its own, as in ${one.dialect.name}@9000`,
        )
    }
  return spoken
}

/** Where calls of administration go: nowhere, to a port of their own, or beside the other routes. */
export type AdminPlace = 'off' | 'apart' | 'beside'

/** What is served on a port. */
export interface Placed {
  readonly routes: readonly Route[]
  /** Form of errors at paths that no route takes, where one dialect has the port for itself. */
  readonly error: ErrorForm | undefined
}

export interface RoutesByPort extends Placed {
  readonly apart: readonly (Placed & { readonly port: number })[]
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
  const formOf = (port: number | undefined): ErrorForm | undefined => {
    const [form, ...more] = new Set(groups.get(port)?.map(({ dialect }) => dialect.error))
    return more.length === 0 ? form : undefined
  }
  return {
    routes: over(of(undefined), [...health, ...base]),
    error: formOf(undefined),
    apart: ports.map((port) => ({ port, routes: over(of(port), health), error: formOf(port) })),
    adminRoutes: admin === 'apart' ? spoken.flatMap(({ routes }) => routes.filter(isOfAdmins)) : [],
  }
}

export function isOfAdmins({ access }: Route): boolean {
  return access === 'admin'
}

/** Routes of a listener: those of dialects go over those that every server has. */
function over(routes: readonly Route[], base: readonly Route[]): Route[] {
  return [...routes, ...base.filter((route) => !routes.some((other) => isSame(other, route)))]
}

/** The first route that two dialects both have, so that they cannot share a port. */
export function sharedRoute(routes: readonly Route[], others: readonly Route[]): Route | undefined {
  return routes.find((route) => others.some((other) => isSame(other, route)))
}

function isSame(one: Route, other: Route): boolean {
  return one.method === other.method && withoutNames(one.path) === withoutNames(other.path)
}

/** A path as people write it. */
function shown(path: string): string {
  return path.replaceAll(/(?<!:):(\w+)(?:\([^)]*\))?/g, '{$1}').replaceAll('::', ':')
}

/** A path whose parameters have no names and no patterns; two colons are one of the path itself. */
function withoutNames(path: string): string {
  return path.replaceAll(/(?<!:):\w+(?:\([^)]*\))?/g, ':')
}
