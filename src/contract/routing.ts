/**
 * Sharing of the requests of an endpoint between its variants. Routing is a sibling of the variants, not a part of them: a rollout moves it
 * while people own the spec, and a change of the routing alone loads, reloads and drains nothing.
 */
import { Type } from 'typebox'
import { Place, Rule } from './audience.ts'
import { murmur3 } from './murmur3.ts'
import { Range, STEPS } from './ranges.ts'
import type { Static } from 'typebox'

export const Routing = Type.Object(
  {
    weights: Type.Record(Type.String(), Type.Number({ minimum: 0, maximum: 100 }), {
      description: 'Shares of the traffic by variant. They need not add up to 100; a variant without one has none.',
    }),
    ranges: Type.Optional(
      Type.Array(Range, {
        maxItems: STEPS,
        description: 'Points of each variant, in hundredths of a percent. Default: adjoining ranges in the order of the variants.',
      }),
    ),
    shadows: Type.Optional(
      Type.Record(Type.String(), Type.Number({ minimum: 0, maximum: 100 }), {
        description:
          'Percent of the answered requests that a variant gets a copy of, by variant. Nobody sees what it answers. Default: none.',
      }),
    ),
    units: Type.Optional(
      Type.Array(Place, {
        maxItems: 10,
        description: 'Where the unit of a request is read that names none: the first place that has one. Default: none.',
      }),
    ),
    rules: Type.Optional(
      Type.Array(Rule, { maxItems: 1000, description: 'Audiences of variants; the first rule that holds decides. Default: none.' }),
    ),
    fallbacks: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 100,
        description: 'Variants whose failing and late requests the variant with the largest share answers. Default: none.',
      }),
    ),
    edges: Type.Optional(
      Type.Array(Type.Number({ exclusiveMinimum: 0 }), {
        maxItems: 10,
        description: 'Milliseconds; requests that took longer are counted for each. Default: none.',
      }),
    ),
    lost: Type.Optional(
      Type.Object(
        {
          afterSeconds: Type.Number({ exclusiveMinimum: 0 }),
          variant: Type.String({ description: 'The one that gets all requests then.' }),
        },
        { description: 'What a server does that has heard nothing of its control plane for so long. Default: it goes on.' },
      ),
    ),
    salt: Type.String({ description: 'Makes the buckets of units here independent of those of other endpoints.' }),
    segment: Type.Integer({ minimum: 1, description: 'Grows with every change of versions or weights.' }),
  },
  { description: 'How requests are shared. Not part of the spec: whoever rolls out moves it.' },
)
export type Routing = Static<typeof Routing>

/** Routing of all requests to one variant, for an endpoint without a rollout. */
export function everythingTo(variant: string, salt: string): Routing {
  return { weights: { [variant]: 100 }, salt, segment: 1 }
}

/** The routing of a server that has not heard of its control plane for too long. */
export function whenLost(routing: Routing): Routing {
  const { lost, ranges: _ranges, shadows: _shadows, rules: _rules, ...rest } = routing
  return lost === undefined ? routing : { ...rest, weights: { [lost.variant]: 100 } }
}

export function weightOf({ weights }: Pick<Routing, 'weights'>, variant: string): number {
  return Object.hasOwn(weights, variant) ? weights[variant]! : 0
}

/** Whether all variants with a weight in the routing are present, each with its declared identity. */
export function isComplete(routing: Routing, declared: Variants, present: Variants): boolean {
  return weighted(routing).every((variant) => present.has(variant) && present.get(variant) === declared.get(variant))
}

/** Identity of each variant, by its name. */
export type Variants = ReadonlyMap<string, string>

/**
 * Whether a routing can take effect over the variants that are present, before all those that it was declared with are.
 *
 * Present variants must have their declared identity: a weight that was meant for the next version of a variant is not for the one before
 * it. And the share of missing variants goes to the others, none of which may get more than its present or its declared share: a canary
 * that is already present does not get everything while the version that is to replace the main one is being loaded.
 * @param declared variants that the routing was declared with
 * @param present variants that are present
 * @param now the routing in force over the present variants
 */
export function fits(routing: Routing, declared: Variants, present: Variants, now: Routing): boolean {
  if (isComplete(routing, declared, present)) return true
  const here = weighted(routing).filter((variant) => present.has(variant))
  if (here.length === 0 || here.some((variant) => present.get(variant) !== declared.get(variant))) return false
  const before = weighted(now).filter((variant) => present.has(variant))
  const share = (of: Routing, among: readonly string[], variant: string): number =>
    among.includes(variant) ? weightOf(of, variant) / among.reduce((sum, other) => sum + weightOf(of, other), 0) : 0
  return here.every(
    (variant) => share(routing, here, variant) <= Math.max(share(now, before, variant), share(routing, weighted(routing), variant)) + 1e-9,
  )
}

function weighted({ weights }: Routing): string[] {
  return Object.keys(weights).filter((variant) => weights[variant]! > 0)
}

/**
 * Point of a unit in [0, 1): variants have ranges of it, as wide as their weights (ranges.ts). The same unit lies at the same point for as long as
 * the salt is the same, on every server.
 *
 * MurmurHash3_x86_32 with seed 0 of the UTF-8 bytes of the salt, one byte 0, and those of the unit, divided by 2^32. Test vectors:
 * docs/reference/bucketing.json.
 */
export function unitPoint(salt: string, unit: string): number {
  return murmur3(salt, 0, unit) / 2 ** 32
}
