import { rulesOf } from '../contract/audience.ts'
import type { Audience } from '../contract/audience.ts'
import { shareOut } from '../contract/ranges.ts'
import type { Selectable } from 'kysely'
import type { EndpointSpec } from '../contract/endpoint.ts'
import type { Range } from '../contract/ranges.ts'
import type { Routing } from '../contract/routing.ts'
import type { ResolvedVariant } from './resolve.ts'
import type { Revision } from './revisions.ts'
import type { RoutingStatesRow } from './tables.ts'

/** What is kept of a routing; the rest comes from the revision in force. */
type Kept = Pick<Selectable<RoutingStatesRow>, 'weights' | 'ranges' | 'shadows' | 'edges' | 'audiences' | 'lost_after' | 'salt' | 'segment'>

/** Ranges of a routing; those of an earlier release adjoin in the order of their weights. */
export function rangesOf({ weights, ranges }: { readonly weights: string; readonly ranges: string | null }): Range[] {
  return ranges === null || ranges === '' ? shareOut(JSON.parse(weights) as Record<string, number>) : (JSON.parse(ranges) as Range[])
}

/**
 * The routing as servers get it: shares and shadows as they were set, audiences, units and fallbacks as the revision in force declares them.
 * @param variants those that are served, also beside the revision in force
 */
export function routingDocument(kept: Kept, { units = [] }: Pick<EndpointSpec, 'units'>, variants: readonly ResolvedVariant[]): Routing {
  const shadows = shadowsOf(kept)
  const audiences = kept.audiences === null ? {} : (JSON.parse(kept.audiences) as Record<string, readonly Audience[]>)
  const rules = variants.flatMap(({ name, match }) => rulesOf(name, audiences[name] ?? match))
  const fallbacks = variants.filter(({ fallback }) => fallback === true).map(({ name }) => name)
  return {
    weights: JSON.parse(kept.weights) as Record<string, number>,
    ranges: rangesOf(kept),
    ...(Object.keys(shadows).length > 0 && { shadows }),
    ...(units.length > 0 && { units }),
    ...(rules.length > 0 && { rules }),
    ...(fallbacks.length > 0 && { fallbacks }),
    ...(kept.edges !== null && { edges: JSON.parse(kept.edges) as number[] }),
    ...(kept.lost_after !== null && { lost: { afterSeconds: kept.lost_after / 1000, variant: variants[0]!.name } }),
    salt: kept.salt,
    segment: kept.segment,
  }
}

export function shadowsOf({ shadows }: Pick<Kept, 'shadows'>): Record<string, number> {
  return shadows === null ? {} : (JSON.parse(shadows) as Record<string, number>)
}

/** Name of a variant while its revision is served beside the one in force, whose variants keep their names. */
export function nameBeside(variant: string, revision: number): string {
  return `${variant}-r${revision}`
}

/** Name of a fresh copy of a variant. */
export function nameOfCopy(variant: string): string {
  return `${variant}-baseline`
}

export interface Served {
  /** The variants of the revision in force. */
  readonly inForce: readonly ResolvedVariant[]
  readonly beside?: Pick<Revision, 'number' | 'variants'> | undefined
  /** Whether a fresh copy of the revision in force is served, too. */
  readonly baseline?: boolean
}

/** All variants that a routing may name: of the revision in force, of fresh copies of it, and of the one beside it. */
export function servedVariants({ inForce, beside, baseline = false }: Served): ResolvedVariant[] {
  const others = beside?.variants.map((variant) => ({ ...variant, name: nameBeside(variant.name, beside.number) })) ?? []
  const copies = baseline ? inForce.map((variant) => ({ ...variant, name: nameOfCopy(variant.name) })) : []
  return [...inForce, ...copies, ...others]
}

/** Models and versions of variants, as they are kept with a segment. */
export function versionsText(variants: readonly Pick<ResolvedVariant, 'name' | 'model' | 'version'>[]): string {
  return JSON.stringify(Object.fromEntries(variants.map(({ name, model, version }) => [name, { model, version: String(version) }])))
}
