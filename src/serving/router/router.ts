/** Decides which variant of an endpoint a request is for. */
import { holds, UNREAD, unitAt } from '../../contract/audience.ts'
import { STEPS } from '../../contract/ranges.ts'
import { unitPoint, weightOf } from '../../contract/routing.ts'
import { SlipwayError } from '../../core/errors.ts'
import type { Condition, Facts } from '../../contract/audience.ts'
import type { Routing } from '../../contract/routing.ts'
import type { Assignment, Decision } from './decision.ts'

/** The part of a variant that routing uses. */
export interface Routable {
  readonly spec: { readonly name: string; readonly model?: string; readonly version: string }
}

/** The part of a request that decides its routing. */
export interface Asked {
  readonly version?: string | undefined
  readonly unit?: string | undefined
  /** The variant that a tester asks for. */
  readonly forced?: string | undefined
  /** The id that the client gave the request: a retry keeps its variant. */
  readonly givenId?: string | undefined
  /** What rules and units are read from. Default: nothing can be read. */
  readonly facts?: Facts | undefined
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
  /** Variants that were taken out: their requests go to the others, as if they were not there. */
  readonly out: ReadonlySet<string>
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
  /** Whether more than the share of a variant decides. */
  readonly #asks: boolean

  constructor(
    endpoint: string,
    variants: readonly V[],
    routing: Routing,
    { random = Math.random, out = NONE }: { readonly random?: (() => number) | undefined; readonly out?: ReadonlySet<string> } = {},
  ) {
    this.routing = routing
    this.variants = variants
    this.out = out
    this.#endpoint = endpoint
    this.#random = random
    const weighted = variants.filter(
      ({ spec }, index) => weightOf(routing, spec.name) > 0 && !out.has(spec.name) && firstOf(variants, spec.name) === index,
    )
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
    this.#asks = (routing.rules?.length ?? 0) > 0 || (routing.units?.length ?? 0) > 0
  }

  /** The variant with the largest share, whose signature stands for the endpoint; undefined where there is no variant. */
  get main(): V | undefined {
    const { variants, routing } = this
    let main = variants[0]
    for (const variant of variants) if (weightOf(routing, variant.spec.name) > weightOf(routing, main!.spec.name)) main = variant
    return main
  }

  /**
   * @returns undefined where the body has to be read first
   * @throws SLW_MODEL_NOT_FOUND for a version or a variant that is not served, and where no variant is
   */
  decide(asked: Asked): Routed<V> | undefined {
    const { version, forced, point } = asked
    let { unit } = asked
    let complete = !this.#incomplete
    if (version !== undefined) return this.#routed(this.#ofVersion(version), { assignment: 'version', unit })
    if (forced !== undefined) return this.#routed(this.#ofName(forced), { assignment: 'forced', unit })
    if (this.#asks && asked.facts !== undefined) {
      const audience = this.#audience(asked.facts)
      if (audience === UNREAD) return undefined
      const found = unit ?? unitAt(this.routing.units ?? [], asked.facts)
      if (found === UNREAD) return undefined
      unit = found
      if (audience !== undefined && audience !== ABSENT) return this.#routed(audience, { assignment: 'matched', unit })
      // Its audience is nobody that chance would have assigned.
      if (audience === ABSENT) complete = false
    }
    if (this.#only !== undefined)
      return unit === undefined ? this.#only : this.#routed(this.#only.variant, { ...this.#only.decision, unit })
    const last = this.#shares.at(-1)
    if (last === undefined) throw new SlipwayError('SLW_MODEL_NOT_FOUND', `endpoint "${this.#endpoint}" has no variant`)
    // Whoever gives a request an id says when it is asked again; the prefix keeps ids apart from units.
    unit ??= asked.givenId === undefined ? undefined : `request ${asked.givenId}`
    const at = unit === undefined ? (point ?? this.#random()) : unitPoint(this.routing.salt, unit)
    return this.#routed(this.#at(at) ?? last.variant, { assignment: complete ? 'randomised' : 'incomplete', unit, point: at })
  }

  /** The variant of the first rule that holds. */
  #audience(facts: Facts): V | undefined | typeof UNREAD | typeof ABSENT {
    let unread = false
    for (const { variant: name, all } of this.routing.rules ?? []) {
      const variant = this.out.has(name) ? undefined : this.variants.find(({ spec }) => spec.name === name)
      const held = allHold(all, facts)
      if (held === false) continue
      if (held !== UNREAD) return unread ? UNREAD : (variant ?? ABSENT)
      unread = true
    }
    return unread ? UNREAD : undefined
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
  again({ decision, variant: before }: Routed<V>, asked: Asked): Routed<V> {
    const variant = asked.version === undefined ? this.variants.find(({ spec }) => spec.name === decision.served) : undefined
    const isSame = variant?.spec.version === before.spec.version && variant.spec.model === before.spec.model
    if (variant !== undefined && isSame && !this.out.has(variant.spec.name)) return { decision, variant }
    const forced = decision.assignment === 'forced' ? asked.forced : undefined
    return this.decide({ ...asked, forced, unit: decision.unit, point: decision.point }) ?? this.provisional
  }

  /** The variant in whose queue a request waits while its body is read. @throws SLW_MODEL_NOT_FOUND where there is none */
  get provisional(): Routed<V> {
    const main = this.main
    if (main === undefined) throw new SlipwayError('SLW_MODEL_NOT_FOUND', `endpoint "${this.#endpoint}" has no variant`)
    return this.#routed(main, { assignment: 'incomplete' })
  }

  #ofVersion(version: string): V {
    const found = this.variants.find(({ spec }) => spec.version === version)
    if (found !== undefined) return found
    throw new SlipwayError(
      'SLW_MODEL_NOT_FOUND',
      `model "${this.#endpoint}" has no version "${version}"; served: ${this.variants.map(({ spec }) => spec.version).join(', ')}`,
    )
  }

  #ofName(name: string): V {
    const found = this.variants.find(({ spec }) => spec.name === name)
    if (found !== undefined) return found
    throw new SlipwayError(
      'SLW_MODEL_NOT_FOUND',
      `model "${this.#endpoint}" has no variant "${name}"; there are ${this.variants.map(({ spec }) => spec.name).join(', ')}`,
    )
  }

  #routed(variant: V, how: { assignment: Assignment; unit?: string | undefined; point?: number | undefined }): Routed<V> {
    const { name } = variant.spec
    const { assignment, unit, point } = how
    const { segment, edges } = this.routing
    return { variant, decision: { endpoint: this.#endpoint, assigned: name, served: name, segment, assignment, unit, point, edges } }
  }
}

/** Whether conditions hold together: the first that does not decides. */
function allHold(all: readonly Condition[], facts: Facts): boolean | typeof UNREAD {
  let unread = false
  for (const condition of all) {
    const held = holds(condition, facts)
    if (held === false) return false
    if (held === UNREAD) unread = true
  }
  return unread ? UNREAD : true
}

const NONE: ReadonlySet<string> = new Set()
/** The variant of an audience is not there. */
const ABSENT = Symbol('absent')

/** Index of the variant that a name means: of two with one name, while one replaces the other, the first. */
function firstOf(variants: readonly Routable[], name: string): number {
  return variants.findIndex(({ spec }) => spec.name === name)
}
