/** Routing states: the revision of an endpoint in force, the one served beside it, and the shares of requests of their variants. */
import { shareOut } from '../contract/ranges.ts'
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { nextNumber } from '../ledger/counters.ts'
import { record } from '../ledger/events.ts'
import { bump, lockEndpoint } from './lock-endpoint.ts'
import { requireEndpoint } from './read-endpoints.ts'
import { revisionOf } from './revisions.ts'
import { rangesOf } from './routing-ranges.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import { judge, requireThere } from './resolve.ts'
import type { ResolvedVariant } from './resolve.ts'
import type { Revision } from './revisions.ts'

export async function putInForce(
  write: Write,
  { endpointId, number, at }: { readonly endpointId: string; readonly number: number; readonly at: number },
): Promise<void> {
  await write
    .updateTable('endpoints')
    .set({ current_revision: number, updated_at: at, held_back: null })
    .where('id', '=', endpointId)
    .execute()
}

export interface RoutingChange {
  readonly endpointId: string
  /** The revision in force. */
  readonly revision: number
  readonly beside: number | undefined
  readonly weights: Readonly<Record<string, number>>
  readonly at: number
  /** Makes the salt of the first routing. */
  readonly newId: () => string
}

/** Sets the routing, and begins another segment. The salt stays, and as many points as can, so that units keep their variant. */
export async function setRouting(write: Write, { endpointId, revision, beside, weights, at, newId }: RoutingChange): Promise<void> {
  const before = await write
    .selectFrom('routing_states')
    .select(['weights', 'ranges'])
    .where('endpoint_id', '=', endpointId)
    .executeTakeFirst()
  const ranges = JSON.stringify(shareOut(weights, before === undefined ? [] : rangesOf(before)))
  const routing = { revision, beside: beside ?? null, weights: JSON.stringify(weights), ranges, updated_at: at }
  await write
    .insertInto('routing_states')
    .values({ endpoint_id: endpointId, ...routing, salt: newId(), segment: 1 })
    .onConflict((conflict) =>
      conflict.column('endpoint_id').doUpdateSet((columns) => ({ ...routing, segment: columns('routing_states.segment', '+', 1) })),
    )
    .execute()
  await faultPoint('revision.routed')
}

/** Name of a variant while its revision is served beside the one in force, whose variants keep their names. */
export function nameBeside(variant: string, revision: number): string {
  return `${variant}-r${revision}`
}

/** All variants that a routing may name: of the revision in force, and of the one beside it. */
export function servedVariants(inForce: readonly ResolvedVariant[], beside?: Pick<Revision, 'number' | 'variants'>): ResolvedVariant[] {
  const others = beside?.variants.map((variant) => ({ ...variant, name: nameBeside(variant.name, beside.number) })) ?? []
  return [...inForce, ...others]
}

export interface RoutingWish {
  /** A revision to serve beside the one in force. Default: the present one; null: none. */
  readonly beside?: number | null
  /** Percent by variant of the two revisions. */
  readonly weights: Readonly<Record<string, number>>
}

/** Moves requests between variants, independently of declarations. */
export class RoutingStates {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /**
   * @throws SLW_NOT_FOUND for a missing endpoint or revision; SLW_INPUT_INVALID for weights of variants that neither revision has, and if
   *   all weights are zero; SLW_PRECONDITION_FAILED
   */
  async set(scope: Scope, name: string, wish: RoutingWish): Promise<void> {
    const { database, clock, newId } = this.#ground
    const at = clock.epochMs()
    await database.write(async (write) => {
      const found = await requireEndpoint(write, scope, name)
      const row = await lockEndpoint(write, scope, found.id)
      const before = await write.selectFrom('routing_states').selectAll().where('endpoint_id', '=', row.id).executeTakeFirstOrThrow()
      const number = wish.beside === undefined ? (before.beside ?? undefined) : (wish.beside ?? undefined)
      const inForce = (await revisionOf(write, row.id, row.current_revision))!
      const beside = number === undefined ? undefined : await revisionOf(write, row.id, number)
      if (number !== undefined && beside === undefined)
        throw new SlipwayError('SLW_NOT_FOUND', `endpoint "${name}" has no revision ${number}`)
      const variants = servedVariants(inForce.variants, beside)
      requireWeights(wish.weights, variants)
      if (beside !== undefined && beside.number !== before.beside) {
        await requireThere(write, beside)
        // Those that are new have to do what the first one does, as those of one revision.
        await judge(write, scope, { before: inForce.variants, after: variants, allowBreaking: false })
      }
      // In the order of the variants, so that the order of the wish decides nothing.
      const weights = percentOf(variants.map((variant) => [variant.name, wish.weights[variant.name] ?? 0]))
      const change = { endpointId: row.id, revision: row.current_revision, beside: number, weights, at, newId }
      await setRouting(write, change)
      await bump(write, row.id, { updated_at: at })
      await nextNumber(write, 'delivery')
      await record(write, scope, at, {
        kind: 'endpoint',
        name,
        action: 'updated',
        before: { routing: JSON.parse(before.weights), beside: before.beside ?? undefined },
        after: { routing: weights, beside: number },
      })
    })
  }
}

/** Weights as percent, which is what servers take. */
function percentOf(weights: readonly (readonly [variant: string, weight: number])[]): Record<string, number> {
  const total = weights.reduce((sum, [, weight]) => sum + weight, 0)
  return Object.fromEntries(weights.map(([variant, weight]) => [variant, (100 * weight) / total]))
}

function requireWeights(weights: RoutingWish['weights'], variants: readonly ResolvedVariant[]): void {
  const names = variants.map(({ name }) => name)
  const unknown = Object.keys(weights).find((name) => !names.includes(name))
  const message =
    unknown !== undefined
      ? `there is no variant "${unknown}"; there are ${names.join(', ')}`
      : Object.values(weights).every((weight) => weight === 0)
        ? 'no variant would get any request'
        : undefined
  if (message !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', `weights: ${message}`, { issues: [{ path: 'weights', message }] })
}
