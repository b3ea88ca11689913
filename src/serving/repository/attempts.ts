import { backoffMs } from '../../core/backoff.ts'
import { contentKey } from '../../contract/desired-endpoint.ts'
import { filesAreToBlame } from '../load-failures.ts'
import type { DesiredEndpoint, VariantSpec } from '../../contract/desired-endpoint.ts'
import type { Clock } from '../../core/clock.ts'
import type { FailedLoad } from '../reconciler.ts'
import type { FoundVersion } from './scan.ts'

/** Record of one content of a path that could not be loaded. */
interface Refusal {
  readonly endpoint: string
  readonly path: string
  readonly attempts: number
  /** Monotonic milliseconds; Infinity where the files are to blame. */
  readonly retryAtMs: number
  /** Whether the version loaded from this path before is still served. */
  held: boolean
}

/** Results of the loads of versions, by path and fingerprint: which not to try again, and which are good. */
export class Attempts {
  readonly #clock: Clock
  readonly #refused = new Map<string, Refusal>()
  /** The fingerprint that was loaded last, by path. */
  readonly #good = new Map<string, string | undefined>()
  /** Time that stands still during a change, so that the desired state does not vary while it is applied. */
  #nowMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Begins a change. */
  begin(): void {
    this.#nowMs = this.#clock.monotonicMs()
  }

  /** The content of a version to serve: its own; where that was refused, the one still served from its path, or none. */
  usable(version: FoundVersion): FoundVersion | undefined {
    const refusal = this.#refusal(version)
    if (refusal === undefined || this.#nowMs >= refusal.retryAtMs) return version
    return refusal.held ? this.lastGood(version) : undefined
  }

  /** The content last loaded from this path, whether it is in memory or not. */
  lastGood(version: FoundVersion): FoundVersion | undefined {
    const fingerprint = this.#good.get(version.path)
    return fingerprint === undefined ? undefined : { ...version, fingerprint }
  }

  isGood(spec: VariantSpec): boolean {
    return this.#good.has(spec.path) && this.#good.get(spec.path) === spec.fingerprint
  }

  /** Whether a version of these was refused for a passing cause and is due for another try. */
  isDue(documents: readonly DesiredEndpoint[]): boolean {
    return documents.some(({ spec }) => spec.variants.some((variant) => this.#nowMs >= (this.#refusal(variant)?.retryAtMs ?? Infinity)))
  }

  /** Notes the documents that were applied, and their versions that could not be loaded. */
  note(documents: readonly DesiredEndpoint[], failures: readonly FailedLoad[]): void {
    const failed = new Set(failures.map(({ spec }) => contentKey(spec)))
    for (const { spec } of documents) {
      for (const variant of spec.variants) {
        const refusal = this.#refusal(variant)
        // A refused version that is listed for want of a better one was not tried again.
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

  /** Lets the refused contents of a path be tried again. */
  forgive(path: string): void {
    for (const [key, refusal] of this.#refused) if (refusal.path === path) this.#refused.delete(key)
  }

  /** Updates `held`: a version that was still served when its successor was refused may have ended since. */
  review(serves: (endpoint: string, path: string) => boolean): void {
    for (const refusal of this.#refused.values()) if (refusal.held) refusal.held = serves(refusal.endpoint, refusal.path)
  }

  /** Forgets paths and contents that are gone. */
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
