import { closest } from '../contract/schema.ts'
import { orLate } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { instances } from './backend.ts'
import { observeAll } from './observe/events.ts'
import { Taps } from './observe/taps.ts'
import { liveEndpoints } from './live.ts'
import { Reconciler, together } from './reconciler.ts'
import { Shadows } from './shadows.ts'
import type { DesiredEndpoint } from '../contract/desired-endpoint.ts'
import type { ServingOptions } from '../contract/serving-options.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { Signature } from '../signature/signature.ts'
import type { Backend } from './backend.ts'
import type { Endpoint } from './endpoint.ts'
import type { LiveEndpoint } from './live.ts'
import type { Observer } from './observe/events.ts'
import type { Applied, Change } from './reconciler.ts'
import type { Residency } from './residency.ts'
import type { Variant } from './variant.ts'

export interface DataPlaneOptions {
  readonly cores: number
  readonly clock: Clock
  readonly log: Logger
  readonly observers: readonly Observer[]
  /** Server-side settings of a model, over those of its package. */
  readonly servingFor?: (endpoint: string) => ServingOptions
  /** Bytes that all models may hold together. Default: no limit. */
  readonly memoryBudgetBytes?: number | undefined
  /** Time limit for the requests of a replaced version to finish. Default: 25000. */
  readonly drainTimeoutMs?: number
  /** Whether versions will replace each other: threads for the first replacement are then held ready. Default: false. */
  readonly expectsChanges?: boolean
  /** Interpreter in which Python models run, confined. Default: such models are refused. */
  readonly sandboxPython?: string | undefined
  /** Whether processes of models work at low priority. Default: false. */
  readonly background?: boolean | undefined
  /** Source of the variants' answers. Default: instances on this machine. */
  readonly backend?: Backend | ((dataPlane: DataPlane) => Backend)
  /** Random numbers in [0, 1), for requests without a unit. Default: Math.random. */
  readonly random?: () => number
}

/** Upper limit of a request's wait for its model to be loaded; a shorter time-out of the request counts. */
export const LOAD_WAIT_MS = 30_000
/** Limit of the requests that wait for models to be loaded. */
const LOAD_WAITERS_MAX = 1000

/** The data plane answers predictions: endpoints, their variants, and the one place that changes them. Knows no protocol. */
export class DataPlane {
  readonly clock: Clock
  readonly observer: Required<Observer>
  readonly taps = new Taps()
  readonly shadows: Shadows
  readonly #reconciler: Reconciler
  readonly #watchers = new Set<() => void>()
  #draining = false
  #waitingForLoads = 0

  constructor(options: DataPlaneOptions) {
    this.clock = options.clock
    this.observer = observeAll([...options.observers, this.#watched()])
    this.shadows = new Shadows({
      taps: this.taps,
      observer: this.observer,
      random: options.random ?? Math.random,
      monotonicMs: () => this.clock.monotonicMs(),
    })
    this.#reconciler = new Reconciler({
      cores: options.cores,
      clock: options.clock,
      log: options.log,
      observer: this.observer,
      servingFor: options.servingFor ?? (() => ({})),
      memoryBudgetBytes: options.memoryBudgetBytes,
      drainTimeoutMs: options.drainTimeoutMs ?? 25_000,
      expectsChanges: options.expectsChanges ?? false,
      sandboxPython: options.sandboxPython,
      background: options.background,
      random: options.random,
      backend: typeof options.backend === 'function' ? options.backend(this) : (options.backend ?? instances),
    })
  }

  /**
   * Makes the endpoints those of a desired state, each as soon as its models are loaded, and resolves when all are in use; routing waits for
   * nothing. @returns switches, and loads that failed
   */
  async apply(desired: readonly DesiredEndpoint[]): Promise<Applied> {
    const wanted = new Map(desired.map((document) => [document.metadata.name, document]))
    const names = new Set([...wanted.keys(), ...this.endpoints.keys()])
    return together(await Promise.all([...names].map((name) => this.change(name, wanted.get(name)))))
  }

  /**
   * Changes one endpoint, and resolves when the change is in use; routing waits for nothing.
   * @param desired undefined takes it out of service
   */
  async change(name: string, desired: DesiredEndpoint | undefined): Promise<Applied> {
    if (desired !== undefined) this.route([desired])
    return await (await this.prepare(name, desired)).commit()
  }

  /** Puts the desired routing in force from the next request on, without a wait; missing versions are left to `change`. */
  route(desired: readonly DesiredEndpoint[]): void {
    this.#reconciler.route(desired)
    this.#changed()
  }

  /** Present state of each endpoint. */
  live(): LiveEndpoint[] {
    return liveEndpoints(this.endpoints.values())
  }

  /** Calls back whenever `live` may have changed. @returns a function that ends the calls */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => void this.#watchers.delete(changed)
  }

  #changed(): void {
    for (const changed of this.#watchers) changed()
  }

  /** Observer of the events after which `live` may have changed. */
  #watched(): Observer {
    const changed = (): void => this.#changed()
    return {
      instanceFailure: (event) => {
        const { endpoint, variant } = event.subject
        this.endpoints.get(endpoint)?.breaker.ended(variant)
        changed()
      },
      instanceRecovered: changed,
      load: changed,
      unload: changed,
      change: changed,
      tripped: changed,
    }
  }

  /** The same as `change` in two steps, for callers that must know first whether the change can be made. */
  async prepare(name: string, desired: DesiredEndpoint | undefined): Promise<Change> {
    const change = await this.#reconciler.prepare(name, desired)
    return {
      ...change,
      commit: async () => {
        const applied = await change.commit()
        this.#changed()
        return applied
      },
    }
  }

  get memory(): Pick<Residency, 'usedBytes' | 'budgetBytes'> {
    return this.#reconciler.residency
  }

  /**
   * Loads an unloaded variant.
   * @throws SLW_MEMORY_EXCEEDED, the model's own error; SLW_QUEUE_FULL when `LOAD_WAITERS_MAX` requests wait for loads;
   *   SLW_DEADLINE_EXCEEDED when the load takes longer than the request can wait (the load goes on)
   */
  async activate(variant: Variant, deadlineMs: number): Promise<void> {
    if (this.#waitingForLoads >= LOAD_WAITERS_MAX)
      throw new SlipwayError('SLW_QUEUE_FULL', `${LOAD_WAITERS_MAX} requests wait for models to be loaded`, { retryAfterMs: 1000 })
    this.#waitingForLoads++
    try {
      const end = await orLate(this.clock, deadlineMs - this.clock.monotonicMs(), this.#reconciler.activate(variant))
      if (end !== 'late') return
    } finally {
      this.#waitingForLoads--
    }
    const { endpoint } = variant.subject
    throw new SlipwayError('SLW_DEADLINE_EXCEEDED', `model "${endpoint}" was not loaded in time for this request; the load goes on`, {
      retryAfterMs: 1000,
    })
  }

  /**
   * Inputs and outputs of a model. Those of an unloaded model are still known; a model that was never loaded is loaded.
   * @throws what `activate` throws, SLW_MODEL_NOT_READY
   */
  async signatureOf(variant: Variant): Promise<Signature> {
    if (variant.signature === undefined && variant.dormant) await this.activate(variant, this.clock.monotonicMs() + LOAD_WAIT_MS)
    return variant.signature ?? variant.requireReady().signature
  }

  get endpoints(): ReadonlyMap<string, Endpoint> {
    return this.#reconciler.endpoints
  }

  variants(): Iterable<Variant> {
    return this.#reconciler.variants()
  }

  /** Whether a version that was loaded from this path answers without being loaded again. */
  serves(endpoint: string, path: string): boolean {
    const variants = this.#reconciler.endpoints.get(endpoint)?.variants ?? []
    return variants.some((variant) => variant.spec.path === path && variant.loaded !== undefined && variant.ready)
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

  /** Whether the server is shutting down: readiness is false, new requests are still answered until `drain`. */
  get draining(): boolean {
    return this.#draining
  }

  announceDrain(): void {
    this.#draining = true
  }

  /** Resolves when every accepted request is answered. */
  async drain(): Promise<void> {
    this.#draining = true
    // What an ensemble has accepted asks its models yet.
    for (const [, variants] of [...Map.groupBy(this.variants(), (variant) => this.#depth(variant))].toSorted(([a], [b]) => b - a))
      await Promise.all(variants.map((variant) => variant.drain()))
  }

  /** How many ensembles lie in one another; 0 for a model. */
  #depth({ spec: { parts = [] } }: Variant): number {
    const inside = parts.flatMap((part) => this.endpoints.get(part)?.variants ?? [])
    return parts.length === 0 ? 0 : 1 + Math.max(0, ...inside.map((variant) => this.#depth(variant)))
  }

  async close(): Promise<void> {
    await this.#reconciler.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
