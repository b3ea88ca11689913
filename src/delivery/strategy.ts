/** Strategies that take no steps. */
import { isDeepStrictEqual } from 'node:util'
import { revisionOf } from './revisions.ts'
import { shadowsOf } from './routing-document.ts'
import { putInForce, setRouting } from './routing-states.ts'
import type { Selectable } from 'kysely'
import type { Write } from '../ledger/scope.ts'
import type { MadeRevision, Strategy } from './strategy-port.ts'
import type { EndpointsRow } from './tables.ts'
import type { ResolvedVariant } from './resolve.ts'

/** Percent of the requests, and of copies of them, by variant. */
interface Shares {
  readonly weights: Readonly<Record<string, number>>
  readonly shadows: Readonly<Record<string, number>>
}

/** All requests go to the new versions as soon as a server has loaded them. Shares that somebody has moved stay, unless others are declared. */
export const atOnce: Strategy = {
  async introduce(write, made) {
    const kept = await keptShares(write, made.endpoint, made.variants)
    await bringIn(write, made, kept ?? declaredShares(made.variants))
  },
}

/** As {@link atOnce}, by the shares that the revision declares: what somebody returns to is what there was. */
export const asDeclared: Strategy = {
  introduce: (write, made) => bringIn(write, made, declaredShares(made.variants)),
}

async function bringIn(
  write: Write,
  { endpoint, number, at, newId }: Pick<MadeRevision, 'endpoint' | 'number' | 'at' | 'newId'>,
  shares: Shares,
): Promise<void> {
  await putInForce(write, { endpointId: endpoint.id, number, at })
  await setRouting(write, { endpointId: endpoint.id, revision: number, beside: undefined, ...shares, at, newId })
}

/** Shares as a revision declares them. */
export function declaredShares(variants: readonly ResolvedVariant[]): Shares {
  return {
    weights: Object.fromEntries(variants.map(({ name, weight }) => [name, weight])),
    shadows: Object.fromEntries(variants.flatMap(({ name, shadow = 0 }) => (shadow > 0 ? [[name, shadow]] : []))),
  }
}

/** The shares in force, where the variants are the same and nobody has declared others: somebody may have moved them since. */
async function keptShares(
  write: Write,
  endpoint: Selectable<EndpointsRow>,
  variants: readonly ResolvedVariant[],
): Promise<Shares | undefined> {
  const before = await revisionOf(write, endpoint.id, endpoint.current_revision)
  if (before === undefined || !isDeepStrictEqual(declaredShares(before.variants), declaredShares(variants))) return undefined
  const routing = await write
    .selectFrom('routing_states')
    .select(['weights', 'shadows'])
    .where('endpoint_id', '=', endpoint.id)
    .executeTakeFirst()
  if (routing === undefined) return undefined
  const weights = JSON.parse(routing.weights) as Record<string, number>
  const shadows = shadowsOf(routing)
  const names = new Set(variants.map(({ name }) => name))
  const used = [...Object.entries(weights), ...Object.entries(shadows)].filter(([, share]) => share > 0)
  if (!used.every(([name]) => names.has(name))) return undefined
  return { weights: Object.fromEntries(variants.map(({ name }) => [name, weights[name] ?? 0])), shadows }
}
