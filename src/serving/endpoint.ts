import { createHash } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import type { Variant } from './variant.ts'

/** A stable name that clients call, and the variants behind it. */
export class Endpoint {
  readonly name: string
  #variants: readonly Variant[]

  constructor(name: string, variants: readonly Variant[]) {
    this.name = name
    this.#variants = variants
  }

  get variants(): readonly Variant[] {
    return this.#variants
  }

  replace(variants: readonly Variant[]): void {
    this.#variants = variants
  }

  /**
   * The variant for a request: the version asked for, or a share of the traffic by weight. Whoever has a unit key always
   * gets the same one.
   * @throws SLW_MODEL_NOT_FOUND for a version that is not served
   */
  route(version: string | undefined, unit: string | undefined): Variant {
    const variants = this.#variants
    if (version !== undefined) {
      const found = variants.find((variant) => variant.spec.version === version)
      if (found !== undefined) return found
      throw new SlipwayError(
        'SLW_MODEL_NOT_FOUND',
        `model "${this.name}" has no version "${version}"; served: ${variants.map((variant) => variant.spec.version).join(', ')}`,
      )
    }
    const weighted = variants.filter((variant) => variant.spec.weight > 0)
    const only = weighted.length === 1 ? weighted[0] : undefined
    if (only !== undefined) return only
    const total = weighted.reduce((sum, variant) => sum + variant.spec.weight, 0)
    let point = (unit === undefined ? Math.random() : unitPoint(this.name, unit)) * total
    for (const variant of weighted) {
      point -= variant.spec.weight
      if (point < 0) return variant
    }
    const last = weighted.at(-1) ?? variants[0]
    if (last === undefined) throw new SlipwayError('SLW_MODEL_NOT_FOUND', `endpoint "${this.name}" has no variant`)
    return last
  }
}

/** A number in [0, 1) that a unit key always maps to, independent between endpoints. */
function unitPoint(endpoint: string, unit: string): number {
  return createHash('sha256').update(`${endpoint}\0${unit}`).digest().readUInt32BE(0) / 2 ** 32
}
