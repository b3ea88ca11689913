import { createHash } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import type { Variant, VariantStatus } from './variant.ts'

/** Failed versions that an endpoint remembers. */
const FAILURES_MAX = 5

/** A stable name that clients call, and the variants behind it. */
export class Endpoint {
  readonly name: string
  /** It came after the server had loaded what it started with. */
  readonly late: boolean
  #variants: readonly Variant[]
  #failures: readonly VariantStatus[] = []
  /** Versions that are being loaded beside those that serve. */
  loading: readonly Variant[] = []

  constructor(name: string, variants: readonly Variant[], late = false) {
    this.name = name
    this.late = late
    this.#variants = variants
  }

  get variants(): readonly Variant[] {
    return this.#variants
  }

  replace(variants: readonly Variant[]): void {
    this.#variants = variants
    this.#forget(variants.filter((variant) => variant.phase === 'ready').map((variant) => variant.subject.version))
  }

  /** Versions that could not be loaded and did not take the place of those that serve, the latest last. */
  get failures(): readonly VariantStatus[] {
    return this.#failures
  }

  keepFailures(failed: readonly Variant[]): void {
    this.#forget(failed.map((variant) => variant.subject.version))
    this.#failures = [...this.#failures, ...failed.map((variant) => variant.status())].slice(-FAILURES_MAX)
  }

  #forget(versions: readonly string[]): void {
    this.#failures = this.#failures.filter((failure) => !versions.includes(failure.version))
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
