import { closest } from '../contract/schema.ts'
import { SlipwayError } from '../core/errors.ts'
import { observeAll } from './observe/events.ts'
import { Reconciler } from './reconciler.ts'
import type { EndpointDocument } from '../contract/endpoint.ts'
import type { ServingOptions } from '../contract/serving-options.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { Endpoint } from './endpoint.ts'
import type { Observer } from './observe/events.ts'
import type { Variant } from './variant.ts'

export interface DataPlaneOptions {
  readonly cores: number
  readonly clock: Clock
  readonly log: Logger
  readonly observers: readonly Observer[]
  /** What the server says of a model, over what its package says. */
  readonly servingFor?: (endpoint: string) => ServingOptions
}

/** What answers predictions: endpoints, their variants, and the one place that changes them. Knows no protocol. */
export class DataPlane {
  readonly clock: Clock
  readonly observer: Required<Observer>
  readonly #reconciler: Reconciler
  #draining = false

  constructor(options: DataPlaneOptions) {
    this.clock = options.clock
    this.observer = observeAll(options.observers)
    this.#reconciler = new Reconciler({
      cores: options.cores,
      clock: options.clock,
      log: options.log,
      observer: this.observer,
      servingFor: options.servingFor ?? (() => ({})),
    })
  }

  /** Sets what is to be served. @returns what could not be */
  apply(desired: readonly EndpointDocument[]): Promise<SlipwayError[]> {
    return this.#reconciler.apply(desired)
  }

  get endpoints(): ReadonlyMap<string, Endpoint> {
    return this.#reconciler.endpoints
  }

  variants(): Iterable<Variant> {
    return this.#reconciler.variants()
  }

  /** @throws SLW_MODEL_NOT_FOUND with the nearest name */
  endpoint(name: string): Endpoint {
    const found = this.#reconciler.endpoints.get(name)
    if (found !== undefined) return found
    const names = [...this.#reconciler.endpoints.keys()]
    const near = closest(name, names)
    const hint = near !== undefined ? `; did you mean "${near}"?` : names.length <= 10 ? `; served: ${names.join(', ')}` : ''
    throw new SlipwayError('SLW_MODEL_NOT_FOUND', `no model "${name}" is served${hint}`)
  }

  /** Shutting down: readiness is false, new requests are still answered until `drain`. */
  get draining(): boolean {
    return this.#draining
  }

  announceDrain(): void {
    this.#draining = true
  }

  /** Resolves when every accepted request is answered. */
  async drain(): Promise<void> {
    this.#draining = true
    await Promise.all([...this.variants()].map((variant) => variant.drain()))
  }

  async close(): Promise<void> {
    await Promise.all([...this.variants()].map((variant) => variant.close()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
