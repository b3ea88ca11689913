/**
 * A strategy brings a revision into force once it has been made. Making a revision, putting it in force and setting the routing are three
 * steps, so that a strategy may separate them: serve it beside the one in force, move weights, and only then put it in force.
 */
import { putInForce, setRouting } from './routing-states.ts'
import type { Selectable } from 'kysely'
import type { Write } from '../ledger/scope.ts'
import type { EndpointsRow } from './tables.ts'
import type { ResolvedVariant } from './resolve.ts'

/** A revision that has been made and is not yet in force. */
export interface MadeRevision {
  /** The endpoint, whose row is locked until the transaction ends. */
  readonly endpoint: Selectable<EndpointsRow>
  readonly number: number
  readonly variants: readonly ResolvedVariant[]
  readonly at: number
  readonly newId: () => string
}

export interface Strategy {
  /** Called in the transaction that made the revision: when a declaration changes, and when an alias moves. */
  introduce(write: Write, made: MadeRevision): Promise<void>
}

/** All requests go to the new versions as soon as a server has loaded them. */
export const atOnce: Strategy = {
  async introduce(write, { endpoint, number, variants, at, newId }) {
    await putInForce(write, { endpointId: endpoint.id, number, at })
    const weights = Object.fromEntries(variants.map(({ name, weight }) => [name, weight]))
    await setRouting(write, { endpointId: endpoint.id, revision: number, beside: undefined, weights, at, newId })
  },
}
