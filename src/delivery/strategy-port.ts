/**
 * A strategy brings a revision into force once it has been made. Making a revision, putting it in force and setting the routing are three
 * steps, so that a strategy may separate them: serve it beside the one in force, move weights, and only then put it in force.
 */
import type { Kysely, Selectable } from 'kysely'
import type { EndpointSpec } from '../contract/endpoint.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ResolvedVariant } from './resolve.ts'
import type { Cause, Revision } from './revisions.ts'
import type { EndpointsRow } from './tables.ts'

/** A revision that has been made and is not yet in force. */
export interface MadeRevision {
  /** The endpoint, whose row is locked until the transaction ends. */
  readonly endpoint: Selectable<EndpointsRow>
  readonly number: number
  readonly spec: EndpointSpec
  readonly variants: readonly ResolvedVariant[]
  readonly cause: Cause
  /** The revision in force; undefined for a new endpoint. */
  readonly before: Revision | undefined
  /** On whose behalf. */
  readonly scope: Scope
  readonly at: number
  readonly newId: () => string
}

export interface Strategy {
  /** Called in the transaction that made the revision: when a declaration changes, and when an alias moves. */
  introduce(write: Write, made: MadeRevision): Promise<void>
  /** Whoever moves the routing of an endpoint now, in words; undefined where nobody does. */
  owner?(read: Kysely<Schema>, endpointId: string): Promise<string | undefined>
  /** The variants that are on their way into force; undefined where none are. */
  coming?(read: Kysely<Schema>, endpointId: string): Promise<readonly ResolvedVariant[] | undefined>
  /** Lets go of an endpoint, as somebody puts something else in force or deletes it. Its row is locked. @returns whether it had hold of it */
  letGo?(write: Write, of: { readonly endpoint: Selectable<EndpointsRow>; readonly scope: Scope; readonly at: number }): Promise<boolean>
  /** Numbers of the revisions that never came into force, or were turned back: a rollback passes over them, unless one is named. */
  turnedBack?(read: Kysely<Schema>, endpointId: string): Promise<ReadonlySet<number>>
}

/** The strategy of a room that opens after this one, and another until it is there. */
export class LateStrategy implements Strategy {
  #strategy: Strategy

  constructor(until: Strategy) {
    this.#strategy = until
  }

  receive(strategy: Strategy): void {
    this.#strategy = strategy
  }

  async introduce(write: Write, made: MadeRevision): Promise<void> {
    await this.#strategy.introduce(write, made)
  }

  async owner(read: Kysely<Schema>, endpointId: string): Promise<string | undefined> {
    return await this.#strategy.owner?.(read, endpointId)
  }

  async coming(read: Kysely<Schema>, endpointId: string): Promise<readonly ResolvedVariant[] | undefined> {
    return await this.#strategy.coming?.(read, endpointId)
  }

  async letGo(write: Write, of: Parameters<NonNullable<Strategy['letGo']>>[1]): Promise<boolean> {
    return (await this.#strategy.letGo?.(write, of)) ?? false
  }

  async turnedBack(read: Kysely<Schema>, endpointId: string): Promise<ReadonlySet<number>> {
    return (await this.#strategy.turnedBack?.(read, endpointId)) ?? new Set()
  }
}
