/**
 * Delivery turns declarations into the state that servers are to serve: endpoints, revisions, routing, the document that servers follow,
 * and their reports.
 */
import { Endpoints, followAlias } from './endpoints.ts'
import { rangesOf } from './routing-document.ts'
import { RoutingStates } from './routing-states.ts'
import { conditionsOf, missingAliases } from './conditions.ts'
import { bump, lockEndpoint } from './lock-endpoint.ts'
import { requireEndpoint } from './read-endpoints.ts'
import { receiptKeysByName, renewReceiptKey } from './receipt-keys.ts'
import { toRevision } from './revisions.ts'
import { FollowedStates } from './followed-states.ts'
import { Servers, usersOf } from './servers.ts'
import { SlipwayError } from '../core/errors.ts'
import { nextNumber } from '../ledger/counters.ts'
import { record } from '../ledger/events.ts'
import type { Range } from '../contract/ranges.ts'
import type { ReceiptKey } from '../contract/receipt.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Dependents } from '../models/dependents.ts'
import type { Condition } from './condition.ts'
import type { DeliveryGround } from './ground.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { Revision } from './revisions.ts'
import type { ReportOf } from './servers.ts'

/** An endpoint, with its current conditions and reports. */
export interface EndpointStatus {
  readonly endpoint: DeclaredEndpoint
  readonly conditions: readonly Condition[]
  readonly servers: readonly ReportOf[]
}

/** Shares of an endpoint's variants, from a moment on. */
export interface RoutingSegment {
  readonly segment: number
  readonly ranges: readonly Range[]
  /** Model and version of each variant. */
  readonly versions: Readonly<Record<string, { readonly model: string; readonly version: string }>>
  /** UTC epoch milliseconds. */
  readonly beganAt: number
}

/** Segments that a comparison looks back over. */
const SEGMENTS_MAX = 1000

/** The revision of an endpoint at a moment, and the reports of servers about it by then. */
export interface EndpointThen {
  readonly name: string
  /** Undefined if there was no such endpoint. */
  readonly revision: Revision | undefined
  readonly servers: readonly ReportOf[]
}

/** Endpoints, the servers that follow them, and the documents between both. */
export class Delivery {
  readonly endpoints: Endpoints
  readonly servers: Servers
  readonly states: FollowedStates
  readonly routing: RoutingStates
  readonly #ground: DeliveryGround

  constructor(ground: DeliveryGround) {
    this.#ground = ground
    this.endpoints = new Endpoints(ground)
    this.servers = new Servers(ground)
    this.states = new FollowedStates(ground)
    this.routing = new RoutingStates(ground)
  }

  /** Keys of the receipts of endpoints' predictions, by name; those of endpoints that are gone, too. */
  async receiptKeys(environment: string, names: readonly string[]): Promise<ReadonlyMap<string, readonly ReceiptKey[]>> {
    return await receiptKeysByName(this.#ground.database.read, environment, names)
  }

  /** Gives an endpoint another key for receipts. @throws SLW_NOT_FOUND, SLW_PRECONDITION_FAILED */
  async renewReceiptKey(scope: Scope, name: string, forgetOthers: boolean): Promise<void> {
    const { database, clock } = this.#ground
    const at = clock.epochMs()
    await database.write(async (write) => {
      const found = await requireEndpoint(write, scope, name)
      const row = await lockEndpoint(write, scope, found.id)
      if (forgetOthers) await write.deleteFrom('receipt_keys').where('endpoint_id', '=', row.id).execute()
      await renewReceiptKey(write, row.id, at)
      await bump(write, row.id, { updated_at: at })
      await nextNumber(write, 'delivery')
      await record(write, scope, at, {
        kind: 'endpoint',
        name,
        action: 'updated',
        before: {},
        after: { receiptKey: 'renewed', forgetOthers },
      })
    })
  }

  /** Shares of variants under each segment of an endpoint's routing, the latest first. */
  async segments({ id }: Pick<DeclaredEndpoint, 'id'>): Promise<RoutingSegment[]> {
    const rows = await this.#ground.database.read
      .selectFrom('routing_segments')
      .selectAll()
      .where('endpoint_id', '=', id)
      .orderBy('segment', 'desc')
      .limit(SEGMENTS_MAX)
      .execute()
    return rows.map((row) => ({
      segment: row.segment,
      ranges: rangesOf(row),
      versions: JSON.parse(row.versions) as RoutingSegment['versions'],
      beganAt: row.began_at,
    }))
  }

  /** The current status of endpoints, in their order. */
  async statusOf(scope: Scope, endpoints: readonly DeclaredEndpoint[]): Promise<EndpointStatus[]> {
    const [reports, missing] = await Promise.all([
      this.servers.reports(endpoints.map(({ id }) => id)),
      missingAliases(this.#ground.database.read, scope.environment),
    ])
    return endpoints.map((endpoint) => {
      const servers = reports.get(endpoint.id) ?? []
      return { endpoint, servers, conditions: conditionsOf(endpoint, servers, missing.get(endpoint.id) ?? []) }
    })
  }

  /** The revision in force at a moment, and the report of each server by then. @throws SLW_NOT_FOUND if there never was an endpoint */
  async at(scope: Scope, name: string, at: number): Promise<EndpointThen> {
    const { read } = this.#ground.database
    const row = await read
      .selectFrom('endpoints')
      .selectAll()
      .where('environment', '=', scope.environment)
      .where('name', '=', name)
      .where('created_at', '<=', at)
      .where((columns) => columns.or([columns('deleted_at', 'is', null), columns('deleted_at', '>', at)]))
      .orderBy('created_at', 'desc')
      .executeTakeFirst()
    if (row === undefined) {
      const ever = await read
        .selectFrom('endpoints')
        .select('id')
        .where('environment', '=', scope.environment)
        .where('name', '=', name)
        .executeTakeFirst()
      if (ever === undefined) throw new SlipwayError('SLW_NOT_FOUND', `there never was an endpoint "${name}" in "${scope.environment}"`)
      return { name, revision: undefined, servers: [] }
    }
    return { name, revision: await this.#inForceAt(row.id, at), servers: await this.servers.reportsAt(row.id, at) }
  }

  /** The newest revision whose versions had their plain names: one that a rollout walks to, or was turned back, has others. */
  async #inForceAt(endpointId: string, at: number): Promise<Revision | undefined> {
    const { read } = this.#ground.database
    const rows = await read
      .selectFrom('revisions')
      .selectAll()
      .where('endpoint_id', '=', endpointId)
      .where('created_at', '<=', at)
      .orderBy('number', 'desc')
      .execute()
    const segment = await read
      .selectFrom('routing_segments')
      .select('versions')
      .where('endpoint_id', '=', endpointId)
      .where('began_at', '<=', at)
      .orderBy('segment', 'desc')
      .executeTakeFirst()
    const revisions = rows.map(toRevision)
    if (segment === undefined) return revisions[0]
    const served = JSON.parse(segment.versions) as RoutingSegment['versions']
    const isOf = ({ variants }: Revision): boolean =>
      variants.every(({ name, model, version }) => served[name]?.model === model && served[name].version === String(version))
    return revisions.find(isOf) ?? revisions[0]
  }
}

/** Endpoints as dependents of versions and aliases. */
export function endpointDependents(ground: Omit<DeliveryGround, 'dependents'>): Dependents {
  return {
    usersOf: (read, versionIds) => usersOf(read, versionIds, ground.clock.epochMs()),
    aliasMoved: (write, scope, moved) => followAlias(write, scope, ground, moved),
  }
}
