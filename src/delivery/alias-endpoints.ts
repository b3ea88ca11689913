import { lastNumber } from '../ledger/counters.ts'
import { ENDPOINT_NAME } from '../contract/endpoint.ts'
import { isSlipwayError, messageOf } from '../core/errors.ts'
import { policyFailures, whyNotServable } from '../models/policies.ts'
import { findEndpoint } from './read-endpoints.ts'
import type { ServedAnswer } from '../contract/registry-api.ts'
import type { Logger } from '../core/log.ts'
import type { Ground, Scope } from '../ledger/scope.ts'
import type { Delivery } from './delivery.ts'

/** A model with this alias is served by the local server without a declared endpoint. */
export const SERVED_ALIAS = 'champion'

/** The manager of such an endpoint; any other manager that applies a declaration takes it over. */
const MANAGER = { kind: 'slipway', name: `alias ${SERVED_ALIAS}` } as const

/** A version that the alias points to, with the reason if it must not be served. */
interface Pointed {
  readonly model: string
  readonly number: number
  readonly setAt: number
  readonly refusal: string | undefined
}

export interface AliasEndpointsOptions {
  readonly ground: Ground
  readonly delivery: Delivery
  readonly environment: string
  readonly log: Logger
}

/**
 * Declares an endpoint for every model that has the alias `champion` and no endpoint, and deletes it together with the alias, so that on
 * one machine nothing has to be done but to set the alias.
 */
export class AliasEndpoints {
  readonly #options: AliasEndpointsOptions
  readonly #scope: Scope
  /** Warnings that have been logged, so that each is logged once. */
  readonly #told = new Set<string>()
  #seen = -1
  #any = false

  constructor(options: AliasEndpointsOptions) {
    this.#options = options
    this.#scope = { environment: options.environment, actor: 'slipway' }
  }

  /** Applies changes since the last call. @returns whether there is an endpoint */
  async follow(): Promise<boolean> {
    const { ground, delivery } = this.#options
    const sequence = await lastNumber(ground.database.read, 'event')
    if (sequence === this.#seen) return this.#any
    const endpoints = await delivery.endpoints.managers(this.#scope)
    const pointed = await this.#pointed()
    for (const one of pointed) if (!endpoints.has(one.model)) await this.#declare(one)
    for (const [name, managedBy] of endpoints)
      if (managedBy?.kind === MANAGER.kind && pointed.every(({ model }) => model !== name))
        await delivery.endpoints.delete(this.#scope, name)
    this.#any = (await delivery.endpoints.managers(this.#scope)).size > 0
    this.#seen = sequence
    return this.#any
  }

  async #declare({ model, number, setAt, refusal }: Pointed): Promise<void> {
    const { delivery } = this.#options
    if (refusal !== undefined) {
      this.#tell(`version ${model}/${number} is not served: ${refusal}`)
      return
    }
    if (await this.#wasTakenAway(model, setAt)) return
    try {
      const declared = { name: model, labels: {}, spec: { variants: [{ model: `${model}@${SERVED_ALIAS}` }] }, managedBy: MANAGER }
      await delivery.endpoints.apply(this.#scope, declared)
    } catch (error) {
      if (!isSlipwayError(error)) throw error
      this.#tell(`version ${model}/${number} is not served: ${messageOf(error)}`)
    }
  }

  /** Whether the endpoint was deleted since the alias was set. */
  async #wasTakenAway(model: string, setAt: number): Promise<boolean> {
    const row = await this.#options.ground.database.read
      .selectFrom('endpoints')
      .select('id')
      .where('environment', '=', this.#scope.environment)
      .where('name', '=', model)
      .where('deleted_at', '>=', setAt)
      .executeTakeFirst()
    return row !== undefined
  }

  /** The versions that the alias points to, with the reason for each that must not be served. */
  async #pointed(): Promise<Pointed[]> {
    const { read } = this.#options.ground.database
    const rows = await read
      .selectFrom('aliases')
      .innerJoin('versions', 'versions.id', 'aliases.version_id')
      .innerJoin('models', 'models.id', 'aliases.model_id')
      .selectAll('models')
      .select([
        'versions.number',
        'versions.id as version_id',
        'approval',
        'servable',
        'servable_reason',
        'scan',
        'aliases.updated_at as set_at',
      ])
      .where('alias', '=', SERVED_ALIAS)
      .where('environment', '=', this.#scope.environment)
      .where('models.deleted_at', 'is', null)
      .execute()
    return await Promise.all(
      rows.map(async (row) => {
        const { name: model, number, version_id: id, approval, set_at: setAt } = row
        const reason = whyNotServable(row, row)
        const failures = reason === undefined ? await policyFailures(read, row, { id, number, approval }, SERVED_ALIAS) : [reason]
        if (!ENDPOINT_NAME.test(model)) failures.push('its name is none that an address can hold')
        return { model, number, setAt, refusal: failures.length === 0 ? undefined : failures.join('; ') }
      }),
    )
  }

  /** The state of each version that the alias points to, with the reason for each that is not served. */
  async served(): Promise<ServedAnswer[]> {
    const { ground, delivery } = this.#options
    const pointed = await this.#pointed()
    return await Promise.all(
      pointed.map(async ({ model, number: version, refusal }): Promise<ServedAnswer> => {
        const row = await findEndpoint(ground.database.read, this.#scope, model)
        const reports = row === undefined ? [] : ((await delivery.servers.reports([row.id])).get(row.id) ?? [])
        const versions = reports.filter(({ live }) => live).flatMap((report) => report.versions)
        const own = versions.filter((one) => one.model === model && one.version === version)
        if (own.some(({ serves }) => serves)) return { model, version, state: 'ready' }
        const failed = own.find(({ state }) => state === 'failed')
        const reason = refusal ?? failed?.reason
        return reason === undefined ? { model, version, state: 'waiting' } : { model, version, state: 'refused', reason }
      }),
    )
  }

  #tell(what: string): void {
    if (this.#told.has(what)) return
    this.#told.add(what)
    this.#options.log.warn({}, what)
  }
}
