import { Router } from './router/router.ts'
import type { Routing } from '../contract/routing.ts'
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
}

/** A stable name that clients call, the variants behind it, and how requests are shared between them. */
export class Endpoint {
  readonly name: string
  readonly late: boolean
  readonly #random: (() => number) | undefined
  #router: Router<Variant>
  #failures: readonly VariantStatus[] = []
  /** Versions that are being loaded beside those that serve. */
  loading: readonly Variant[] = []

  constructor({ name, routing, late, random }: EndpointOptions) {
    this.name = name
    this.late = late
    this.#random = random
    this.#router = new Router(name, [], routing, random)
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
    return this.main ?? this.decide({}).variant
  }

  /** Puts variants and routing into use, both at once. */
  replace(variants: readonly Variant[], routing: Routing = this.routing): void {
    this.#router = new Router(this.name, variants, routing, this.#random)
    this.#forget(variants.filter((variant) => variant.phase === 'ready').map((variant) => variant.subject.version))
  }

  /** Puts another routing into use, from the next request on. */
  reroute(routing: Routing): void {
    this.#router = new Router(this.name, this.variants, routing, this.#random)
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

  /** Decides once which variant a request is for. @throws as `Router.decide` */
  decide(asked: Asked): Routed<Variant> {
    return this.#router.decide(asked)
  }

  /** Repeats a decision after variants have changed and before anything ran. @throws as `Router.decide` */
  again(before: Routed<Variant>, version: string | undefined): Routed<Variant> {
    return this.#router.again(before, version)
  }
}
