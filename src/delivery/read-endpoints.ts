import { jsonOf } from '../storage/sql/json-of.ts'
import { SlipwayError } from '../core/errors.ts'
import { closest } from '../contract/schema.ts'
import { revisionOf, toRevision } from './revisions.ts'
import type { Kysely, Selectable } from 'kysely'
import type { EndpointSpec, ManagedBy } from '../contract/endpoint.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'
import { routingDocument, servedVariants } from './routing-document.ts'
import type { Routing } from '../contract/routing.ts'
import type { EndpointsRow, RevisionsRow, RoutingStatesRow } from './tables.ts'
import type { Revision } from './revisions.ts'

/** Suspension of an endpoint: since when and why its aliases are not followed. */
export interface Suspension {
  readonly at: number
  readonly by: string
  readonly reason?: string
  /** The revision that was returned to. */
  readonly revision: number
}

/** Reason for which a moved alias was not followed. */
export interface HeldBack {
  readonly at: number
  readonly code: string
  readonly message: string
}

/** How requests are shared between variants, and which revisions these are of. */
export interface RoutingState extends Routing {
  /** The revision in force. */
  readonly revision: number
  /** A revision that is served beside the one in force. */
  readonly beside: number | undefined
}

/** An endpoint as declared, and its revision in force. */
export interface DeclaredEndpoint {
  readonly id: string
  readonly environment: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** The spec as it was written. */
  readonly spec: EndpointSpec
  /** Grows with every change of the spec. */
  readonly generation: number
  /** Grows with every change of anything; the ETag. */
  readonly resourceVersion: number
  readonly managedBy: ManagedBy | undefined
  readonly revision: Revision
  readonly routing: RoutingState
  readonly suspended: Suspension | undefined
  readonly heldBack: HeldBack | undefined
  readonly nextFollowAt: number | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

/** @throws SLW_NOT_FOUND with the nearest name */
export async function requireEndpoint(read: Kysely<Schema>, scope: Scope, name: string): Promise<Selectable<EndpointsRow>> {
  const row = await findEndpoint(read, scope, name)
  if (row !== undefined) return row
  const others = await read
    .selectFrom('endpoints')
    .select('name')
    .where('environment', '=', scope.environment)
    .where('deleted_at', 'is', null)
    .execute()
  const near = closest(
    name,
    others.map((other) => other.name),
  )
  throw new SlipwayError(
    'SLW_NOT_FOUND',
    `there is no endpoint "${name}" in "${scope.environment}"${near === undefined ? '' : `; did you mean "${near}"?`}`,
  )
}

export async function findEndpoint(read: Kysely<Schema>, scope: Scope, name: string): Promise<Selectable<EndpointsRow> | undefined> {
  return await read
    .selectFrom('endpoints')
    .selectAll()
    .where('environment', '=', scope.environment)
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
}

export async function toEndpoint(read: Kysely<Schema>, row: Selectable<EndpointsRow>): Promise<DeclaredEndpoint> {
  const [endpoint] = await toEndpoints(read, [row])
  return endpoint!
}

/** Reads endpoints by two queries, however many there are. */
export async function toEndpoints(read: Kysely<Schema>, rows: readonly Selectable<EndpointsRow>[]): Promise<DeclaredEndpoint[]> {
  if (rows.length === 0) return []
  const ids = rows.map(({ id }) => id)
  const [revisions, routings] = await Promise.all([
    read
      .selectFrom('revisions')
      .innerJoin('endpoints', (join) =>
        join.onRef('endpoints.id', '=', 'revisions.endpoint_id').onRef('endpoints.current_revision', '=', 'revisions.number'),
      )
      .selectAll('revisions')
      .where('endpoints.id', 'in', ids)
      .execute(),
    read.selectFrom('routing_states').selectAll().where('endpoint_id', 'in', ids).execute(),
  ])
  const besides = await besidesOf(read, routings)
  const revisionById = new Map(revisions.map((revision) => [revision.endpoint_id, revision]))
  const routingById = new Map(routings.map((routing) => [routing.endpoint_id, routing]))
  return rows.map((row) => endpointOf(row, revisionById.get(row.id)!, routingById.get(row.id)!, besides.get(row.id)))
}

/** Revisions that are served beside those in force, by the endpoint: of few endpoints, at few times. */
async function besidesOf(read: Kysely<Schema>, routings: readonly Selectable<RoutingStatesRow>[]): Promise<Map<string, Revision>> {
  const found = new Map<string, Revision>()
  for (const { endpoint_id: id, beside } of routings) {
    const revision = beside === null ? undefined : await revisionOf(read, id, beside)
    if (revision !== undefined) found.set(id, revision)
  }
  return found
}

function endpointOf(
  row: Selectable<EndpointsRow>,
  revision: Selectable<RevisionsRow>,
  routing: Selectable<RoutingStatesRow>,
  beside: Revision | undefined,
): DeclaredEndpoint {
  const inForce = toRevision(revision)
  return {
    id: row.id,
    environment: row.environment,
    name: row.name,
    labels: JSON.parse(row.labels) as Record<string, string>,
    spec: specOf(row),
    generation: row.generation,
    resourceVersion: row.resource_version,
    managedBy: managerOf(row),
    revision: inForce,
    routing: {
      revision: routing.revision,
      beside: routing.beside ?? undefined,
      ...routingDocument(routing, inForce.spec, servedVariants({ inForce: inForce.variants, beside, baseline: routing.baseline === 1 })),
    },
    suspended: jsonOf<Suspension>(row.suspended),
    heldBack: jsonOf<HeldBack>(row.held_back),
    nextFollowAt: row.next_follow_at ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

export function managerOf(row: Pick<Selectable<EndpointsRow>, 'managed_by'>): ManagedBy | undefined {
  return jsonOf<ManagedBy>(row.managed_by)
}

/** The spec of an endpoint as it was written. */
export function specOf({ spec }: Pick<Selectable<EndpointsRow>, 'spec'>): EndpointSpec {
  return JSON.parse(spec) as EndpointSpec
}

/** The endpoints that keep an environment from being deleted, in words; undefined if there are none. */
export async function anyEndpointIn(read: Kysely<Schema>, environment: string): Promise<string | undefined> {
  const found = await read
    .selectFrom('endpoints')
    .select('name')
    .where('environment', '=', environment)
    .where('deleted_at', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return found === undefined ? undefined : `endpoints, such as "${found.name}"`
}
