import { SlipwayError } from '../core/errors.ts'
import { etagOf, requireSeen } from './etag.ts'
import { record } from './events.ts'
import { DEFAULT_ENVIRONMENT } from '../contract/api-address.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Ground, Scope } from './scope.ts'

/** A namespace with models, aliases, endpoints, policies and roles of its own. */
export interface Environment {
  readonly name: string
  readonly etag: string
  readonly description: string | undefined
  readonly createdBy: string
  readonly createdAt: number
}

/** A module whose rows belong to environments. */
export interface EnvironmentGuest {
  /** Creates the initial rows of an environment; idempotent. */
  begin?(name: string): Promise<void>
  /** Description of the rows that an environment still has, such as `models, such as "churn"`. */
  occupied?(read: Kysely<Schema>, name: string): Promise<string | undefined>
}

/** Time for which the names of environments are cached: another control plane may have made one. */
const KNOWN_MS = 1000

/** Environments, such as dev, staging and production. */
export class Environments {
  readonly #ground: Ground
  readonly #guests: EnvironmentGuest[] = []
  #known: { readonly names: ReadonlySet<string>; readonly untilMs: number } | undefined

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** Adds a guest; to be called before `begin`. */
  receive(guest: EnvironmentGuest): void {
    this.#guests.push(guest)
  }

  /** Creates the default environment if it is missing. */
  async begin(): Promise<void> {
    await this.#ensure({ environment: DEFAULT_ENVIRONMENT, actor: 'slipway' }, DEFAULT_ENVIRONMENT, undefined)
    await this.#fill(DEFAULT_ENVIRONMENT)
  }

  async #fill(name: string): Promise<void> {
    for (const guest of this.#guests) await guest.begin?.(name)
  }

  async #names(): Promise<string[]> {
    const rows = await this.#ground.database.read.selectFrom('environments').select('name').orderBy('created_at').execute()
    return rows.map(({ name }) => name)
  }

  async list(): Promise<Environment[]> {
    const rows = await this.#ground.database.read.selectFrom('environments').selectAll().orderBy('created_at').execute()
    return rows.map((row) => ({
      name: row.name,
      etag: etagOf(row),
      description: row.description ?? undefined,
      createdBy: row.created_by,
      createdAt: row.created_at,
    }))
  }

  /** @throws SLW_NOT_FOUND, which lists the existing environments */
  async require(name: string): Promise<string> {
    const now = this.#ground.clock.monotonicMs()
    if (this.#known === undefined || now > this.#known.untilMs || !this.#known.names.has(name))
      this.#known = { names: new Set(await this.#names()), untilMs: now + KNOWN_MS }
    if (this.#known.names.has(name)) return name
    throw new SlipwayError('SLW_NOT_FOUND', `there is no environment "${name}"; there are ${[...this.#known.names].join(', ')}`)
  }

  /** @throws SLW_INPUT_INVALID; SLW_ALREADY_EXISTS */
  async create(scope: Scope, name: string, description: string | undefined): Promise<Environment> {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name))
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `"${name}" is no name of an environment: small letters, digits and "-" within, at most 63`,
      )
    if (!(await this.#ensure(scope, name, description)))
      throw new SlipwayError('SLW_ALREADY_EXISTS', `there is an environment "${name}" already`)
    await this.#fill(name)
    this.#known = undefined
    return (await this.list()).find((one) => one.name === name)!
  }

  async #ensure(scope: Scope, name: string, description: string | undefined): Promise<boolean> {
    const { database, clock } = this.#ground
    const at = clock.epochMs()
    return await database.write(async (write) => {
      const row = { name, description: description ?? null, created_by: scope.actor, created_at: at }
      const { numInsertedOrUpdatedRows } = await write
        .insertInto('environments')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      if (numInsertedOrUpdatedRows !== 1n) return false
      if (name !== DEFAULT_ENVIRONMENT)
        await record(write, { ...scope, environment: name }, at, { kind: 'environment', name, action: 'created', after: { description } })
      return true
    })
  }

  /** @throws SLW_CONFLICT for the default environment and for one that is not empty; SLW_NOT_FOUND */
  async delete(scope: Scope, name: string): Promise<void> {
    const { database, clock } = this.#ground
    if (name === DEFAULT_ENVIRONMENT)
      throw new SlipwayError('SLW_CONFLICT', `"${name}" is the environment of addresses without one, and stays`)
    const at = clock.epochMs()
    await database.write(async (write) => {
      for (const guest of this.#guests) {
        const found = await guest.occupied?.(write, name)
        if (found !== undefined) throw new SlipwayError('SLW_CONFLICT', `environment "${name}" still has ${found}: delete them first`)
      }
      const row = await write.deleteFrom('environments').where('name', '=', name).returningAll().executeTakeFirst()
      if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `there is no environment "${name}"`)
      requireSeen(scope, `environment "${name}"`, etagOf(row))
      await record(write, { ...scope, environment: name }, at, {
        kind: 'environment',
        name,
        action: 'deleted',
        before: { description: row.description },
      })
    })
    this.#known = undefined
  }
}
