import { toSlipwayError } from '../core/errors.ts'
import { Endpoint } from './endpoint.ts'
import { Variant } from './variant.ts'
import type { EndpointDocument, VariantSpec } from '../contract/endpoint.ts'
import type { SlipwayError } from '../core/errors.ts'
import type { VariantOptions } from './variant.ts'

export type ReconcilerOptions = Omit<VariantOptions, 'endpoint' | 'spec' | 'servingOverrides'> & {
  /** Server-side settings of a model, over those of its package. */
  readonly servingFor: (endpoint: string) => VariantOptions['servingOverrides']
}

/**
 * Makes what runs equal to what is desired. Whoever wants a change (command line, later folder polls, admin calls, the
 * control plane) writes the one desired state; only this loads and ends variants.
 */
export class Reconciler {
  readonly endpoints = new Map<string, Endpoint>()
  readonly #options: ReconcilerOptions
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: ReconcilerOptions) {
    this.#options = options
  }

  /**
   * Sets the desired state and resolves when it is reached, with what failed on the way. Calls are worked off one after
   * the other. New variants are listed at once, so that they can be seen loading.
   */
  apply(desired: readonly EndpointDocument[]): Promise<SlipwayError[]> {
    const turn = this.#last.then(() => this.#reconcile(desired))
    this.#last = turn.catch(() => {})
    return turn
  }

  async #reconcile(desired: readonly EndpointDocument[]): Promise<SlipwayError[]> {
    const wanted = new Map(desired.map((document) => [document.metadata.name, document.spec.variants]))
    const removed: Variant[] = []
    const added: Variant[] = []
    for (const [name, endpoint] of this.endpoints) {
      if (wanted.has(name)) continue
      removed.push(...endpoint.variants)
      this.endpoints.delete(name)
    }
    for (const [name, specs] of wanted) {
      const endpoint = this.endpoints.get(name) ?? new Endpoint(name, [])
      const kept = new Map(endpoint.variants.map((variant) => [identity(variant.spec), variant]))
      const variants = specs.map((spec) => {
        const existing = kept.get(identity(spec))
        kept.delete(identity(spec))
        if (existing !== undefined) return existing
        const variant = new Variant({ ...this.#options, endpoint: name, spec, servingOverrides: this.#options.servingFor(name) })
        added.push(variant)
        return variant
      })
      removed.push(...kept.values())
      endpoint.replace(variants)
      this.endpoints.set(name, endpoint)
    }
    const failures = await this.#load(added)
    for (const variant of removed) {
      await variant.drain()
      await variant.close()
    }
    return failures
  }

  async #load(variants: readonly Variant[]): Promise<SlipwayError[]> {
    const { log } = this.#options
    const failures: SlipwayError[] = []
    for (const variant of variants) {
      try {
        await variant.load()
        const { loadMs = 0, probe } = variant.loaded ?? {}
        log.info({ ...variant.subject, loadMs: Math.round(loadMs), batchable: probe?.batchable, cost: probe?.cost }, 'model ready')
      } catch (error) {
        const failure = toSlipwayError(error)
        log.error({ ...variant.subject, code: failure.code }, `model not served: ${failure.message}`)
        failures.push(failure)
      }
    }
    return failures
  }

  *variants(): Generator<Variant> {
    for (const endpoint of this.endpoints.values()) yield* endpoint.variants
  }
}

/** A variant is replaced when anything but its weight changes. */
function identity({ weight: _weight, ...rest }: VariantSpec): string {
  return JSON.stringify(rest)
}
