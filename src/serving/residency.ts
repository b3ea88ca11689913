import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { mayBeModel } from '../model/formats/formats.ts'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { contentKey } from '../contract/desired-endpoint.ts'
import { orLate } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { LoadTimes } from './load.ts'
import type { Observer } from './observe/events.ts'
import type { Variant } from './variant.ts'

export interface ResidencyOptions {
  /** Bytes that all models may hold together; undefined: as many as are served. */
  readonly budgetBytes: number | undefined
  readonly clock: Clock
  readonly log: Logger
  readonly observer: Required<Observer>
  readonly variants: () => Iterable<Variant>
  /** Whether a variant is loaded beside the versions of its endpoint, to join or replace them. */
  readonly isBeside: (variant: Variant) => boolean
  /** Resolves when the variants that were replaced so far have ended. */
  readonly left: () => Promise<unknown>
}

/** Manner of a load. */
export interface Load {
  /** See `LoadOptions`. */
  readonly gentle: boolean
  /** Whether it is part of a change, and not of a request. */
  readonly ofChange: boolean
  /** Whether nothing is loaded, and nothing unloaded, where the memory budget has no room left. */
  readonly ifRoom: boolean
}

/** Time after which a load lets the next one begin. */
const PATIENCE_MS = 5000
/** Limit of models that load at a time: one, and those that take longer than `PATIENCE_MS`. */
const LOADS_MAX = 8

/**
 * Decides which models are in memory. Loads one at a time, as far as they do not take long: one that hangs holds up none behind it.
 * Measures the memory of each, and unloads the least recently used ones where a budget would be exceeded.
 */
export class Residency {
  readonly #options: ResidencyOptions
  /** Bytes of versions as of their last load, by path and fingerprint. */
  readonly #sizes = new Map<string, number>()
  readonly #loading = new Map<Variant, Promise<LoadTimes | 'no room'>>()
  /** Bytes that running loads are expected to take. */
  readonly #reserved = new Map<Variant, number>()
  /** Waiting loads: those of changes, which hold up further changes, come before those that requests wait for. */
  readonly #waiting: { readonly ofChanges: (() => Promise<void>)[]; readonly ofRequests: (() => Promise<void>)[] } = {
    ofChanges: [],
    ofRequests: [],
  }
  #busy = false
  /** Loads that hold memory or are about to, and whether each has had the process for itself. */
  readonly #running = new Map<Variant, { alone: boolean; readonly ended: PromiseWithResolvers<void> }>()
  /** Models on their way out of memory to make room. */
  readonly #evicting = new Set<Promise<void>>()

  constructor(options: ResidencyOptions) {
    this.#options = options
  }

  get budgetBytes(): number | undefined {
    return this.#options.budgetBytes
  }

  /** Bytes of the models that are loaded. */
  get usedBytes(): number {
    let sum = 0
    for (const variant of this.#options.variants()) if (variant.loaded !== undefined) sum += variant.memoryBytes ?? 0
    return sum
  }

  /** Whether a further model is likely to fit without another being unloaded. */
  #hasRoomFor(variant: Variant): boolean {
    const { budgetBytes } = this.#options
    return budgetBytes === undefined || this.usedBytes + this.#reservedBytes() + this.#expected(variant) <= budgetBytes
  }

  /**
   * Loads a variant; concurrent calls for one variant share its load.
   * @throws SLW_MEMORY_EXCEEDED when the variant cannot fit, however much is unloaded; SLW_MODEL_NOT_READY when another
   *   version has replaced it; the model's own error
   */
  load(variant: Variant, how: Load): Promise<LoadTimes | 'no room'> {
    const going = this.#loading.get(variant)
    if (going !== undefined) return going
    const { promise, resolve, reject } = Promise.withResolvers<LoadTimes | 'no room'>()
    this.#loading.set(variant, promise)
    if (isEnsemble(variant)) {
      void variant
        .load({ gentle: false, measured: false })
        .then(resolve, reject)
        .finally(() => this.#loading.delete(variant))
      return promise
    }
    const queue = how.ofChange ? this.#waiting.ofChanges : this.#waiting.ofRequests
    queue.push(async () => {
      try {
        resolve(await this.#load(variant, how))
      } catch (error) {
        reject(error as Error)
      } finally {
        this.#loading.delete(variant)
        this.#reserved.delete(variant)
        this.#running.get(variant)?.ended.resolve()
        this.#running.delete(variant)
      }
      // Requests that waited for this load take their places in the queue before the next load may unload the variant.
      await nextTurn()
    })
    void this.#workOff()
    return promise
  }

  async #workOff(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    for (let next; (next = this.#waiting.ofChanges.shift() ?? this.#waiting.ofRequests.shift()) !== undefined;) {
      await orLate(this.#options.clock, PATIENCE_MS, next())
      while (this.#running.size >= LOADS_MAX) await Promise.race([...this.#running.values()].map(({ ended }) => ended.promise))
    }
    this.#busy = false
  }

  async #load(variant: Variant, { gentle, ofChange, ifRoom }: Load): Promise<LoadTimes | 'no room'> {
    const counted = this.#options.budgetBytes !== undefined
    if (counted && ofChange) await this.#options.left()
    // The variant may have been retired while it waited for its turn, and again while others were unloaded.
    requireWanted(variant)
    if (ifRoom && !this.#hasRoomFor(variant)) {
      await variant.unload()
      return 'no room'
    }
    const needed = Math.max(this.#expected(variant), await weightsOnDisk(variant.spec.path))
    await this.#makeRoom(variant, needed)
    requireWanted(variant)
    for (const other of this.#running.values()) other.alone = false
    const running = { alone: this.#running.size === 0, ended: Promise.withResolvers<void>() }
    this.#running.set(variant, running)
    const times = await variant.load({ gentle, measured: counted })
    this.#reserved.delete(variant)
    const { loaded } = variant
    if (loaded === undefined) return times
    const known = this.#sizes.get(contentKey(variant.spec))
    // The growth of the process says nothing about one of several models that load at a time.
    variant.memoryBytes = running.alone
      ? this.#settle(loaded.memoryBytes, known)
      : (known ?? Math.min(loaded.memoryBytes, needed || Infinity))
    if (running.alone) this.#sizes.set(contentKey(variant.spec), variant.memoryBytes)
    await this.#makeRoom(variant, 0)
    return times
  }

  /**
   * Mean of a measurement and those before. Leftover and reused memory distort a single measurement either way: with the mean
   * the size of a model neither grows with every load nor falls to zero.
   */
  #settle(measured: number, known: number | undefined): number {
    return known === undefined ? measured : (measured + known) / 2
  }

  /** Expected bytes of a variant: those of its last load, else the average of known models. */
  #expected(variant: Variant): number {
    const known = this.#sizes.get(contentKey(variant.spec))
    if (known !== undefined) return known
    let sum = 0
    for (const size of this.#sizes.values()) sum += size
    return this.#sizes.size === 0 ? 0 : sum / this.#sizes.size
  }

  /** The error of a variant that does not fit beside what is loaded. */
  full({ subject: { endpoint, version } }: Variant): SlipwayError {
    return new SlipwayError(
      'SLW_MEMORY_EXCEEDED',
      `model "${endpoint}" version ${version} does not fit into memoryBudgetMb beside what is loaded (${formatBytes(this.usedBytes)} of ${formatBytes(this.budgetBytes ?? 0)}); unload another model first`,
    )
  }

  /** Forgets the sizes of versions that are no longer served: they say nothing about those that are. */
  forget(): void {
    const served = new Set([...this.#options.variants()].map((variant) => contentKey(variant.spec)))
    for (const key of this.#sizes.keys()) if (!served.has(key)) this.#sizes.delete(key)
  }

  /** @throws SLW_MEMORY_EXCEEDED; the variant is then unloaded, and says why */
  async #makeRoom(variant: Variant, needed: number): Promise<void> {
    const { budgetBytes } = this.#options
    if (budgetBytes === undefined) return
    while (this.usedBytes + (needed === 0 ? 0 : this.#reservedBytes()) + needed > budgetBytes) {
      // What others are loading may turn out to be smaller, or fail.
      if (needed > 0 && this.#reserved.size > 0 && this.usedBytes + needed <= budgetBytes) {
        await Promise.race([...this.#reserved.keys()].map((other) => Promise.resolve(this.#loading.get(other)).catch(() => {})))
        continue
      }
      const victim = this.#leastRecentlyUsed(variant)
      const fixedBytes = this.#fixedBytes(variant)
      const size = needed === 0 ? (variant.memoryBytes ?? 0) : needed
      // What is leaving has made room in a moment.
      if (this.#evicting.size > 0) {
        await Promise.race(this.#evicting)
        continue
      }
      // Nothing is unloaded for a model that would not fit even then.
      if (victim === undefined || fixedBytes + size > budgetBytes) {
        const { endpoint, version } = variant.subject
        const refusal = new SlipwayError(
          'SLW_MEMORY_EXCEEDED',
          `model "${endpoint}" version ${version} takes ${formatBytes(size)} and does not fit into memoryBudgetMb (${formatBytes(budgetBytes)}, ${formatBytes(fixedBytes)} in use by what cannot be unloaded)`,
        )
        await variant.unload(refusal)
        throw refusal
      }
      await this.evict(victim)
    }
    // At once, so that nobody else takes the room.
    if (needed > 0) this.#reserved.set(variant, needed)
  }

  /** Bytes of the variants, beside the wanted one, that cannot be unloaded for it. */
  #fixedBytes(wanted: Variant): number {
    let sum = 0
    for (const variant of this.#options.variants())
      if (variant !== wanted && variant.loaded !== undefined && !this.#mayGiveWay(variant, wanted)) sum += variant.memoryBytes ?? 0
    return sum
  }

  #reservedBytes(): number {
    return this.#reserved.values().reduce((sum, bytes) => sum + bytes, 0)
  }

  /** Idle variants come first. */
  #leastRecentlyUsed(wanted: Variant): Variant | undefined {
    let oldest: Variant | undefined
    for (const variant of this.#options.variants()) {
      if (!this.#mayGiveWay(variant, wanted)) continue
      const better =
        oldest === undefined || (variant.idle && !oldest.idle) || (variant.idle === oldest.idle && variant.lastUsedMs < oldest.lastUsedMs)
      if (better) oldest = variant
    }
    return oldest
  }

  /** Whether a variant may be unloaded for a wanted one. Where that is loaded beside its endpoint's versions, to replace one, they stay. */
  #mayGiveWay(variant: Variant, wanted: Variant): boolean {
    if (variant.loaded === undefined || variant.phase !== 'ready' || isEnsemble(variant)) return false
    return variant.subject.endpoint !== wanted.subject.endpoint || !this.#options.isBeside(wanted)
  }

  /** Unloads a variant; its accepted requests are answered first. */
  async evict(variant: Variant): Promise<void> {
    const { log, observer } = this.#options
    const unloading = variant.unload()
    const gone = unloading.catch(() => {})
    this.#evicting.add(gone)
    await gone.finally(() => this.#evicting.delete(gone))
    await unloading
    log.info({ ...variant.subject, memoryBytes: variant.memoryBytes }, 'model unloaded, its memory is needed')
    observer.unload({ subject: variant.subject, reason: 'evicted' })
  }
}

/** Whether a variant has no memory of its own. It waits for its models, and takes no turn from them. */
function isEnsemble({ spec }: Variant): boolean {
  return spec.parts !== undefined
}

/** @throws SLW_MODEL_NOT_READY for a version that is no longer served */
function requireWanted({ retired, subject: { endpoint, version } }: Variant): void {
  if (retired) throw new SlipwayError('SLW_MODEL_NOT_READY', `model "${endpoint}" version ${version} is served no more; ask again`)
}

/** Bytes of a package's model files and of the data beside them: at least about this much is needed. */
async function weightsOnDisk(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory() !== true) return found?.size ?? 0
  let sum = 0
  for (const name of await readdir(path).catch(() => []))
    if ((name.includes('.onnx') || mayBeModel(name)) && !name.startsWith('.'))
      sum += (await stat(join(path, name)).catch(() => undefined))?.size ?? 0
  return sum
}
