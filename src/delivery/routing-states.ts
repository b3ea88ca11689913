/** Routing states: the revision of an endpoint in force, the one served beside it, and the shares of requests of their variants. */
import { shareOut } from '../contract/ranges.ts'
import type { Audience } from '../contract/audience.ts'
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { nextNumber } from '../ledger/counters.ts'
import { record } from '../ledger/events.ts'
import { bump, lockEndpoint } from './lock-endpoint.ts'
import { requireEndpoint } from './read-endpoints.ts'
import { revisionOf } from './revisions.ts'
import { rangesOf, servedVariants, shadowsOf, versionsText } from './routing-document.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { DeliveryGround } from './ground.ts'
import { judge, requireThere } from './resolve.ts'
import type { ResolvedVariant } from './resolve.ts'

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
  /** Percent of copies by variant. */
  readonly shadows: Readonly<Record<string, number>>
  /** Latency edges, milliseconds. Default: those in force. */
  readonly edges?: readonly number[] | undefined
  /** Audiences by variant, for variants whose revisions declare others. Default: none. */
  readonly audiences?: Readonly<Record<string, readonly Audience[]>> | undefined
  /** Whether a fresh copy of the revision in force is served, too. Default: false. */
  readonly baseline?: boolean
  /** Milliseconds without news after which servers give all requests to the revision in force. Default: they hold. */
  readonly lostAfterMs?: number | undefined
  readonly at: number
  /** Makes the salt of the first routing. */
  readonly newId: () => string
}

/** Sets the routing, and begins another segment. The salt stays, and as many points as can, so that units keep their variant. */
/** @returns the number of the segment */
export async function setRouting(write: Write, change: RoutingChange): Promise<number> {
  const { endpointId, revision, beside, weights, shadows, edges, audiences, baseline = false, lostAfterMs, at, newId } = change
  const before = await write
    .selectFrom('routing_states')
    .select(['weights', 'ranges'])
    .where('endpoint_id', '=', endpointId)
    .executeTakeFirst()
  const ranges = JSON.stringify(shareOut(weights, before === undefined ? [] : rangesOf(before)))
  const routing = {
    revision,
    beside: beside ?? null,
    weights: JSON.stringify(weights),
    ranges,
    shadows: Object.values(shadows).some((share) => share > 0) ? JSON.stringify(shadows) : null,
    ...(edges !== undefined && { edges: edges.length === 0 ? null : JSON.stringify(edges) }),
    audiences: audiences === undefined ? null : JSON.stringify(audiences),
    baseline: baseline ? 1 : 0,
    lost_after: lostAfterMs ?? null,
    updated_at: at,
  }
  const { segment } = await write
    .insertInto('routing_states')
    .values({ endpoint_id: endpointId, ...routing, salt: newId(), segment: 1 })
    .onConflict((conflict) =>
      conflict.column('endpoint_id').doUpdateSet((columns) => ({ ...routing, segment: columns('routing_states.segment', '+', 1) })),
    )
    .returning('segment')
    .executeTakeFirstOrThrow()
  const [inForce, other] = await Promise.all([
    revisionOf(write, endpointId, revision),
    beside === undefined ? undefined : revisionOf(write, endpointId, beside),
  ])
  const versions = versionsText(servedVariants({ inForce: inForce?.variants ?? [], beside: other, baseline }))
  await write
    .insertInto('routing_segments')
    .values({ endpoint_id: endpointId, segment, weights: routing.weights, ranges, versions, began_at: at })
    .execute()
  await faultPoint('revision.routed')
  return segment
}

export interface RoutingWish {
  /** A revision to serve beside the one in force. Default: the present one; null: none. */
  readonly beside?: number | null
  /** Percent by variant of the two revisions. Default: the present ones. */
  readonly weights?: Readonly<Record<string, number>>
  /** Percent of copies by variant. Default: the present ones. */
  readonly shadows?: Readonly<Record<string, number>>
  /** Latency edges, milliseconds. Default: the present ones. */
  readonly edges?: readonly number[]
}

/** Moves requests between variants, independently of declarations. */
export class RoutingStates {
  readonly #ground: DeliveryGround

  constructor(ground: DeliveryGround) {
    this.#ground = ground
  }

  /**
   * @throws SLW_NOT_FOUND for a missing endpoint or revision; SLW_INPUT_INVALID for weights of variants that neither revision has, and if
   *   all weights are zero; SLW_PRECONDITION_FAILED; SLW_CONFLICT while a rollout owns the routing
   */
  async set(scope: Scope, name: string, wish: RoutingWish): Promise<void> {
    const { database, clock, newId } = this.#ground
    const at = clock.epochMs()
    await database.write(async (write) => {
      const found = await requireEndpoint(write, scope, name)
      const row = await lockEndpoint(write, scope, found.id)
      const owner = await this.#ground.strategy?.owner?.(write, row.id)
      if (owner !== undefined) throw new SlipwayError('SLW_CONFLICT', `the requests of endpoint "${name}" are shared out by ${owner}`)
      const before = await write.selectFrom('routing_states').selectAll().where('endpoint_id', '=', row.id).executeTakeFirstOrThrow()
      const number = wish.beside === undefined ? (before.beside ?? undefined) : (wish.beside ?? undefined)
      const inForce = (await revisionOf(write, row.id, row.current_revision))!
      const beside = number === undefined ? undefined : await revisionOf(write, row.id, number)
      if (number !== undefined && beside === undefined)
        throw new SlipwayError('SLW_NOT_FOUND', `endpoint "${name}" has no revision ${number}`)
      const variants = servedVariants({ inForce: inForce.variants, beside })
      const wished = wish.weights ?? (JSON.parse(before.weights) as Record<string, number>)
      // Shadows that stay are those of variants that stay.
      const present = new Set(variants.map((variant) => variant.name))
      const keptShadows = Object.fromEntries(Object.entries(shadowsOf(before)).filter(([variant]) => present.has(variant)))
      const wishedShadows = wish.shadows ?? keptShadows
      requireShares({ weights: wished, shadows: wishedShadows }, variants)
      if (beside !== undefined && beside.number !== before.beside) {
        await requireThere(write, beside)
        // Those that are new have to do what the first one does, as those of one revision.
        await judge(write, scope, { before: inForce.variants, after: variants, allowBreaking: false })
      }
      // In the order of the variants, so that the order of the wish decides nothing.
      const weights = percentOf(variants.map((variant) => [variant.name, wished[variant.name] ?? 0]))
      const shadows = Object.fromEntries(Object.entries(wishedShadows).filter(([, share]) => share > 0))
      const { edges } = wish
      const change = { endpointId: row.id, revision: row.current_revision, beside: number, weights, shadows, edges, at, newId }
      await setRouting(write, change)
      await bump(write, row.id, { updated_at: at })
      await nextNumber(write, 'delivery')
      await record(write, scope, at, {
        kind: 'endpoint',
        name,
        action: 'updated',
        before: { routing: JSON.parse(before.weights), shadows: shadowsOf(before), beside: before.beside ?? undefined },
        after: { routing: weights, shadows, beside: number },
      })
    })
  }
}

/** Weights as percent, which is what servers take. */
function percentOf(weights: readonly (readonly [variant: string, weight: number])[]): Record<string, number> {
  const total = weights.reduce((sum, [, weight]) => sum + weight, 0)
  return Object.fromEntries(weights.map(([variant, weight]) => [variant, (100 * weight) / total]))
}

function requireShares(
  { weights, shadows }: Required<Pick<RoutingWish, 'weights' | 'shadows'>>,
  variants: readonly ResolvedVariant[],
): void {
  const names = variants.map(({ name }) => name)
  const unknownIn = (shares: Readonly<Record<string, number>>): string | undefined => {
    const unknown = Object.keys(shares).find((name) => !names.includes(name))
    return unknown === undefined ? undefined : `there is no variant "${unknown}"; there are ${names.join(', ')}`
  }
  const most = Math.max(...Object.values(weights))
  const own = Object.keys(shadows).find((name) => shadows[name]! > 0 && weights[name] === most && most > 0)
  refuse('weights', unknownIn(weights) ?? (most > 0 ? undefined : 'no variant would get any request'))
  refuse('shadows', unknownIn(shadows) ?? (own === undefined ? undefined : `"${own}" has the largest share: the others are shadows of it`))
}

function refuse(path: string, message: string | undefined): void {
  if (message !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', `${path}: ${message}`, { issues: [{ path, message }] })
}
