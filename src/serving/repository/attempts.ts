import { backoffMs } from '../../core/backoff.ts'
import { contentKey } from '../../contract/desired-endpoint.ts'
import { filesAreToBlame } from '../load-failures.ts'
import type { DesiredEndpoint, VariantSpec } from '../../contract/desired-endpoint.ts'
import type { Clock } from '../../core/clock.ts'
import type { FailedLoad } from '../reconciler.ts'
import type { FoundVersion } from './scan.ts'

/** One content of a path that could not be loaded. */
interface Refusal {
  readonly endpoint: string
  readonly path: string
  readonly attempts: number
  /** Monotonic milliseconds; never, where the files are to blame. */
  readonly retryAtMs: number
  /** What was loaded from this path before is still served. */
  held: boolean
}

/** What became of the versions that were to be loaded, by path and fingerprint: which not to try again, and which is good. */
export class Attempts {
  readonly #clock: Clock
  readonly #refused = new Map<string, Refusal>()
  /** The fingerprint that was loaded last, by path. */
  readonly #good = new Map<string, string | undefined>()
  /** Stands still during a change, so that what it applies does not change with the time that it takes. */
  #nowMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A new change begins. */
  begin(): void {
    this.#nowMs = this.#clock.monotonicMs()
  }

  /** What can be served of a version: itself, where it was refused what is still served of its path, or nothing. */
  usable(version: FoundVersion): FoundVersion | undefined {
    const refusal = this.#refusal(version)
    if (refusal === undefined || this.#nowMs >= refusal.retryAtMs) return version
    return refusal.held ? this.lastGood(version) : undefined
  }

  /** What was loaded of this path last, whether it is in memory or not. */
  lastGood(version: FoundVersion): FoundVersion | undefined {
    const fingerprint = this.#good.get(version.path)
    return fingerprint === undefined ? undefined : { ...version, fingerprint }
  }

  isGood(spec: VariantSpec): boolean {
    return this.#good.has(spec.path) && this.#good.get(spec.path) === spec.fingerprint
  }

  /** Whether one of these was refused for something that may have passed. */
  isDue(documents: readonly DesiredEndpoint[]): boolean {
    return documents.some(({ spec }) => spec.variants.some((variant) => this.#nowMs >= (this.#refusal(variant)?.retryAtMs ?? Infinity)))
  }

  /** What was applied, and what of it could not be loaded. */
  note(documents: readonly DesiredEndpoint[], failures: readonly FailedLoad[]): void {
    const failed = new Set(failures.map(({ spec }) => contentKey(spec)))
    for (const { spec } of documents) {
      for (const variant of spec.variants) {
        const refusal = this.#refusal(variant)
        // What was refused and is listed all the same, as there is nothing better, was not tried again.
        if (failed.has(contentKey(variant)) || (refusal !== undefined && this.#nowMs < refusal.retryAtMs)) continue
        this.#refused.delete(contentKey(variant))
        this.#good.set(variant.path, variant.fingerprint)
      }
    }
    for (const { endpoint, spec, error, held = false } of failures) {
      const attempts = (this.#refusal(spec)?.attempts ?? 0) + 1
      const retryAtMs = filesAreToBlame(error.code) ? Infinity : this.#clock.monotonicMs() + backoffMs(attempts - 1)
      if (this.isGood(spec)) this.#good.delete(spec.path)
      this.#refused.set(contentKey(spec), { endpoint, path: spec.path, attempts, retryAtMs, held })
    }
  }

  /** What lies at a path is tried again. */
  forgive(path: string): void {
    for (const [key, refusal] of this.#refused) if (refusal.path === path) this.#refused.delete(key)
  }

  /** What was still served when its successor was refused may have ended since. */
  review(serves: (endpoint: string, path: string) => boolean): void {
    for (const refusal of this.#refused.values()) if (refusal.held) refusal.held = serves(refusal.endpoint, refusal.path)
  }

  /** Forgets what is gone. */
  keepOnly(present: readonly Pick<VariantSpec, 'path' | 'fingerprint'>[]): void {
    const keys = new Set(present.map(contentKey))
    const paths = new Set(present.map(({ path }) => path))
    for (const path of this.#good.keys()) if (!paths.has(path)) this.#good.delete(path)
    for (const key of this.#refused.keys()) if (!keys.has(key)) this.#refused.delete(key)
  }

  #refusal(spec: Pick<VariantSpec, 'path' | 'fingerprint'>): Refusal | undefined {
    return this.#refused.get(contentKey(spec))
  }
}
