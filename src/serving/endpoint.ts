import { newReceiptKey } from '../security/receipts.ts'
import { Breaker } from './breaker.ts'
import { Receipts } from './receipts.ts'
import { Router } from './router/router.ts'
import type { ReceiptKey } from '../contract/receipt.ts'
import type { Routing } from '../contract/routing.ts'
import type { Clock } from '../core/clock.ts'
import type { Asked, Routed } from './router/router.ts'
import type { Variant, VariantStatus } from './variant.ts'

/** Limit of the failed versions that an endpoint remembers. */
const FAILURES_MAX = 5

export interface EndpointOptions {
  readonly name: string
  readonly routing: Routing
  /** Whether the endpoint was added after the server had loaded its initial models. */
  readonly late: boolean
  /** Random numbers in [0, 1), for requests without a unit. Default: Math.random. */
  readonly random?: (() => number) | undefined
  readonly clock: Clock
  /** Called when the breaker takes a variant out. */
  readonly tripped: (variant: Variant, reason: string) => void
}

const NONE: ReadonlyMap<string, string> = new Map()

/** A stable name that clients call, the variants behind it, and how requests are shared between them. */
export class Endpoint {
  readonly name: string
  readonly late: boolean
  readonly #options: EndpointOptions
  #router: Router<Variant>
  #failures: readonly VariantStatus[] = []
  #keys: readonly ReceiptKey[] = [newReceiptKey()]
  #receipts: Receipts | undefined
  /** Versions that are being loaded beside those that serve. */
  loading: readonly Variant[] = []
  /** Variants that the breaker has taken out under this routing, and why. */
  tripped: ReadonlyMap<string, string> = NONE
  readonly breaker: Breaker

  constructor(options: EndpointOptions) {
    const { name, routing, late, random, clock } = options
    this.name = name
    this.late = late
    this.#options = options
    this.#router = new Router(name, [], routing, { random })
    this.breaker = new Breaker({ clock, base: () => this.main?.spec.name, trip: (variant, reason) => this.#trip(variant, reason) })
  }

  get variants(): readonly Variant[] {
    return this.#router.variants
  }

  get routing(): Routing {
    return this.#router.routing
  }

  /** The variant with the largest share: its signature stands for the endpoint. */
  get main(): Variant | undefined {
    return this.#router.main
  }

  /** @throws SLW_MODEL_NOT_FOUND where there is none */
  requireMain(): Variant {
    return this.main ?? this.provisional.variant
  }

  /** Puts variants and routing into use, both at once. */
  replace(variants: readonly Variant[], routing: Routing = this.routing): void {
    this.#route(variants, routing)
    this.#forget(variants.filter((variant) => variant.phase === 'ready').map((variant) => variant.subject.version))
  }

  /** Puts another routing into use, from the next request on. */
  reroute(routing: Routing): void {
    this.#route(this.variants, routing)
  }

  #route(variants: readonly Variant[], routing: Routing): void {
    // Another version of a variant, and another routing, get another chance.
    const stays = (name: string): boolean => variants.some((variant) => variant.spec.name === name && this.variants.includes(variant))
    if (routing.segment === this.routing.segment) {
      this.tripped = new Map([...this.tripped].filter(([name]) => stays(name)))
      for (const { spec } of this.variants) if (!stays(spec.name)) this.breaker.forget(spec.name)
    } else {
      this.tripped = NONE
      this.breaker.reset()
    }
    this.#router = this.#routerOf(variants, routing)
  }

  #routerOf(variants: readonly Variant[], routing: Routing): Router<Variant> {
    return new Router(this.name, variants, routing, { random: this.#options.random, out: new Set(this.tripped.keys()) })
  }

  #trip(name: string, reason: string): void {
    const variant = this.variants.find(({ spec }) => spec.name === name)
    if (variant === undefined || this.tripped.has(name)) return
    this.tripped = new Map([...this.tripped, [name, reason]])
    this.#router = this.#routerOf(this.variants, this.routing)
    this.#options.tripped(variant, reason)
  }

  /** Keys of the receipts of predictions: the first signs. */
  get receiptKeys(): readonly ReceiptKey[] {
    return this.#keys
  }

  useReceiptKeys(keys: readonly ReceiptKey[]): void {
    this.#keys = keys
    this.#receipts = undefined
  }

  get receipts(): Receipts {
    return (this.#receipts ??= new Receipts(this.#keys[0]!))
  }

  /** Versions that could not be loaded and did not take the place of those that serve, the latest last. */
  get failures(): readonly VariantStatus[] {
    return this.#failures
  }

  keepFailures(failed: readonly Variant[]): void {
    this.#forget(failed.map((variant) => variant.subject.version))
    this.#failures = [...this.#failures, ...failed.map((variant) => variant.status())].slice(-FAILURES_MAX)
  }

  /** Forgets failures of versions that nobody wants any more. */
  forgetFailuresBut(wanted: readonly string[]): void {
    this.#failures = this.#failures.filter(({ version }) => wanted.includes(version))
  }

  #forget(versions: readonly string[]): void {
    this.#failures = this.#failures.filter((failure) => !versions.includes(failure.version))
  }

  /** Decides once which variant a request is for; undefined where its body has to be read first. @throws as `Router.decide` */
  decide(asked: Asked): Routed<Variant> | undefined {
    return this.#router.decide(asked)
  }

  /** The variant in whose queue a request waits until it can be decided for. @throws SLW_MODEL_NOT_FOUND where there is none */
  get provisional(): Routed<Variant> {
    return this.#router.provisional
  }

  /** Repeats a decision after variants have changed and before anything ran. @throws as `Router.decide` */
  again(before: Routed<Variant>, asked: Asked): Routed<Variant> {
    return this.#router.again(before, asked)
  }
}
