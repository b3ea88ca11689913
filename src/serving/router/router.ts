/** Decides which variant of an endpoint a request is for. */
import { STEPS } from '../../contract/ranges.ts'
import { unitPoint, weightOf } from '../../contract/routing.ts'
import { SlipwayError } from '../../core/errors.ts'
import type { Routing } from '../../contract/routing.ts'
import type { Assignment, Decision } from './decision.ts'

/** The part of a variant that routing uses. */
export interface Routable {
  readonly spec: { readonly name: string; readonly version: string }
}

/** The part of a request that decides its routing. */
export interface Asked {
  readonly version?: string | undefined
  readonly unit?: string | undefined
  /** Point of an earlier decision: the random number of a request is drawn once. */
  readonly point?: number | undefined
}

export interface Routed<V> {
  readonly decision: Decision
  readonly variant: V
}

interface Share<V> {
  readonly variant: V
  /** End of the variant's range, as a fraction of the whole. */
  readonly end: number
}

/** A range of points as it was set; its variant may not be there. */
interface Piece<V> {
  readonly variant: V | undefined
  readonly from: number
  readonly end: number
  /** How much of what is missing lies before it. */
  readonly missingBefore: number
}

/** A routing over the variants that are there, worked out once for each change of either. */
export class Router<V extends Routable> {
  readonly routing: Routing
  readonly variants: readonly V[]
  readonly #endpoint: string
  /** Of the variants that are there, adjoining. */
  readonly #shares: readonly Share<V>[]
  /** As the routing has them; undefined where it has none. */
  readonly #pieces: readonly Piece<V>[] | undefined
  /** How much of all points belongs to variants that are not there. */
  #missing = 0
  readonly #random: () => number
  /** Whether a variant that has a weight is missing. */
  readonly #incomplete: boolean
  /** The decision where only one variant can be chosen. */
  readonly #only: Routed<V> | undefined

  constructor(endpoint: string, variants: readonly V[], routing: Routing, random: () => number = Math.random) {
    this.routing = routing
    this.variants = variants
    this.#endpoint = endpoint
    this.#random = random
    const weighted = variants.filter(({ spec }, index) => weightOf(routing, spec.name) > 0 && firstOf(variants, spec.name) === index)
    const total = weighted.reduce((sum, { spec }) => sum + weightOf(routing, spec.name), 0)
    let end = 0
    this.#shares = weighted.map((variant) => ({ variant, end: (end += weightOf(routing, variant.spec.name) / total) }))
    this.#pieces = routing.ranges?.map(({ variant: name, from, until }) => {
      const variant = weighted.find(({ spec }) => spec.name === name)
      const piece = { variant, from: from / STEPS, end: until / STEPS, missingBefore: this.#missing }
      if (variant === undefined) this.#missing += piece.end - piece.from
      return piece
    })
    this.#incomplete = weighted.length < Object.values(routing.weights).filter((weight) => weight > 0).length
    const only = weighted.length <= 1 ? (weighted[0] ?? variants[0]) : undefined
    this.#only = only === undefined ? undefined : this.#routed(only, { assignment: this.#incomplete ? 'incomplete' : 'only' })
  }

  /** The variant with the largest share, whose signature stands for the endpoint; undefined where there is no variant. */
  get main(): V | undefined {
    const { variants, routing } = this
    let main = variants[0]
    for (const variant of variants) if (weightOf(routing, variant.spec.name) > weightOf(routing, main!.spec.name)) main = variant
    return main
  }

  /** @throws SLW_MODEL_NOT_FOUND for a version that is not served, and where no variant is */
  decide({ version, unit, point }: Asked): Routed<V> {
    if (version !== undefined) return this.#routed(this.#ofVersion(version), { assignment: 'version', unit })
    if (this.#only !== undefined)
      return unit === undefined ? this.#only : this.#routed(this.#only.variant, { ...this.#only.decision, unit })
    const last = this.#shares.at(-1)
    if (last === undefined) throw new SlipwayError('SLW_MODEL_NOT_FOUND', `endpoint "${this.#endpoint}" has no variant`)
    const at = unit === undefined ? (point ?? this.#random()) : unitPoint(this.routing.salt, unit)
    return this.#routed(this.#at(at) ?? last.variant, { assignment: this.#incomplete ? 'incomplete' : 'randomised', unit, point: at })
  }

  /** The variant of a point. Points of one that is not there are shared out among the others, by their weights; these keep their own. */
  #at(point: number): V | undefined {
    const piece = this.#pieces?.find(({ end }) => point < end)
    if (piece?.variant !== undefined) return piece.variant
    // Where it lies in all that is missing is a point of its own.
    const at = piece === undefined ? point : (piece.missingBefore + point - piece.from) / this.#missing
    return this.#shares.find(({ end }) => at < end)?.variant
  }

  /**
   * The variant of an earlier decision, where it is still the same version. Where it has gone before anything ran, the request is
   * assigned anew from the same point: the statistics of a version are of the requests that were drawn for it.
   */
  again({ decision, variant: before }: Routed<V>, version: string | undefined): Routed<V> {
    const variant = version === undefined ? this.variants.find(({ spec }) => spec.name === decision.served) : undefined
    if (variant?.spec.version === before.spec.version) return { decision, variant }
    return this.decide({ version, unit: decision.unit, point: decision.point })
  }

  #ofVersion(version: string): V {
    const found = this.variants.find(({ spec }) => spec.version === version)
    if (found !== undefined) return found
    throw new SlipwayError(
      'SLW_MODEL_NOT_FOUND',
      `model "${this.#endpoint}" has no version "${version}"; served: ${this.variants.map(({ spec }) => spec.version).join(', ')}`,
    )
  }

  #routed(variant: V, how: { assignment: Assignment; unit?: string | undefined; point?: number | undefined }): Routed<V> {
    const { name } = variant.spec
    const { assignment, unit, point } = how
    const { segment } = this.routing
    return { variant, decision: { endpoint: this.#endpoint, assigned: name, served: name, segment, assignment, unit, point } }
  }
}

/** Index of the variant that a name means: of two with one name, while one replaces the other, the first. */
function firstOf(variants: readonly Routable[], name: string): number {
  return variants.findIndex(({ spec }) => spec.name === name)
}
