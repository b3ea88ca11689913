import { orLate } from '../core/clock.ts'
import { messageOf, SlipwayError, toSlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { Lanes } from '../core/turns.ts'
import { identityOf } from '../contract/desired-endpoint.ts'
import { fits, isComplete, weightOf } from '../contract/routing.ts'
import { SpareThreads } from '../engine/thread.ts'
import { Endpoint } from './endpoint.ts'
import { Residency } from './residency.ts'
import { Variant } from './variant.ts'
import type { DesiredEndpoint, VariantSpec } from '../contract/desired-endpoint.ts'
import type { Routing } from '../contract/routing.ts'
import type { LoadTimes } from './load.ts'
import type { VariantOptions } from './variant.ts'

export type ReconcilerOptions = Omit<VariantOptions, 'endpoint' | 'spec' | 'servingOverrides' | 'spares'> & {
  /** Server-side settings of a model, over those of its package. */
  readonly servingFor: (endpoint: string) => VariantOptions['servingOverrides']
  readonly memoryBudgetBytes: number | undefined
  /** Time limit for the requests of a replaced version to finish. */
  readonly drainTimeoutMs: number
  /** Whether versions will replace each other: threads for the first change are then made ready after the start. */
  readonly expectsChanges: boolean
  /** See `EndpointOptions`. */
  readonly random?: (() => number) | undefined
}

/** A version that could not be loaded. */
export interface FailedLoad {
  readonly endpoint: string
  readonly spec: VariantSpec
  readonly error: SlipwayError
  /** Whether the version was to get requests. */
  readonly weighted: boolean
  /** Whether the version loaded from the same path before is still served. */
  readonly held?: boolean
}

/** Result of a change for one endpoint. Times in milliseconds. */
export interface SwitchReport extends LoadTimes {
  readonly endpoint: string
  readonly from: readonly VariantSpec[]
  readonly to: readonly VariantSpec[]
  /** Time until every new request went to the new version. */
  readonly switchMs: number
  /** Time until the last request of the old version was answered and its instances had ended. */
  readonly drainMs: number
}

/** A change that is in use. */
export interface Applied {
  readonly failures: readonly FailedLoad[]
  /** Resolves when the replaced versions have answered their last requests and ended. Errors are logged, too. */
  readonly switches: Promise<readonly SwitchReport[]>
}

/** A state of an endpoint that is loaded beside the present one, and not yet in use. Must be ended by `commit` or `abort`. */
export interface Change {
  readonly failures: readonly FailedLoad[]
  /** Puts the state into use, and resolves when it is. */
  commit(): Promise<Applied>
  /** Leaves the endpoint as it was. */
  abort(): Promise<void>
}

/** What a change loads and ends. */
interface Step {
  readonly endpoint: Endpoint
  readonly isNew: boolean
  readonly desired: DesiredEndpoint
  readonly kept: readonly Variant[]
  readonly added: readonly Variant[]
  readonly removed: readonly Variant[]
  readonly failed: FailedLoad[]
  loadMs: number
  warmUpMs: number
}

/**
 * Makes the running variants equal to the desired ones. Every source of changes (command line, folder poll, admin calls,
 * the control plane) writes the one desired state; only the reconciler loads and ends variants. It changes one endpoint at a time,
 * and different endpoints beside each other: one whose model takes long to load holds up no other.
 *
 * A version is loaded beside the one it replaces. Where a version that is to carry traffic cannot be loaded, its endpoint
 * stays as it was.
 */
export class Reconciler {
  readonly endpoints = new Map<string, Endpoint>()
  readonly residency: Residency
  readonly #options: ReconcilerOptions
  readonly #spares: SpareThreads
  /** Variants that are loaded or being loaded, and not yet in an endpoint. */
  readonly #beside = new Set<Variant>()
  /** Replaced and removed variants that still answer the requests they had accepted. */
  readonly #leaving = new Map<Variant, Promise<void>>()
  /** The latest desired state, by endpoint: changes that are still on their way take their routing from it. */
  readonly #latest = new Map<string, DesiredEndpoint>()
  /** By endpoint, the routing before one that was put in force ahead of its variants: a change that fails goes back to it. */
  readonly #settled = new Map<string, Routing>()
  /** Changes by endpoint. */
  readonly #lanes = new Lanes()
  /** Whether a first endpoint is in use: the initial ones were planned before it. */
  #started = false
  #closed = false

  constructor(options: ReconcilerOptions) {
    const { log, observer, memoryBudgetBytes } = options
    this.#options = options
    // Under a memory budget no spare threads are held: no model would account for them.
    this.#spares = new SpareThreads(memoryBudgetBytes === undefined ? options.cores : 0)
    this.residency = new Residency({
      budgetBytes: memoryBudgetBytes,
      log,
      observer,
      clock: options.clock,
      variants: () => [...this.variants(), ...this.#beside],
      isBeside: (variant) => this.#beside.has(variant),
      // Draining variants still hold their memory.
      left: () => Promise.allSettled(this.#leaving.values()),
    })
  }

  /**
   * Puts the desired routing in force from the next request on, whatever is being loaded, switched or drained. A routing that must wait
   * for missing variants is put in force by the change that brings them.
   */
  route(desired: readonly DesiredEndpoint[]): void {
    for (const document of desired) {
      this.#latest.set(document.metadata.name, document)
      this.#reroute(document)
    }
  }

  /** @returns whether the routing could be put in force over the present variants */
  #reroute(document: DesiredEndpoint): boolean {
    const { name } = document.metadata
    const endpoint = this.endpoints.get(name)
    if (endpoint === undefined) return false
    const { routing, spec, receiptKeys } = document
    if (receiptKeys !== undefined) endpoint.useReceiptKeys(receiptKeys)
    const settled = this.#settled.get(name) ?? endpoint.routing
    const declared = identities(spec.variants)
    const present = identities(endpoint.variants.map((variant) => variant.spec))
    if (!fits(routing, declared, present, settled)) return false
    if (isComplete(routing, declared, present)) this.#settled.delete(name)
    else this.#settled.set(name, settled)
    endpoint.reroute(routing)
    return true
  }

  /** The routing for variants about to be put into use: the latest that was declared with them, which may be newer than the change. */
  #routingFor(desired: DesiredEndpoint, variants: readonly Variant[]): Routing {
    const latest = this.#latest.get(desired.metadata.name)
    const present = identities(variants.map((variant) => variant.spec))
    return latest !== undefined && isComplete(latest.routing, identities(latest.spec.variants), present) ? latest.routing : desired.routing
  }

  /** Puts an endpoint whose change has failed back to its earlier routing, with new variants that only join. */
  #goBack(endpoint: Endpoint, variants: readonly Variant[] = endpoint.variants): void {
    endpoint.replace(variants, this.#settled.get(endpoint.name))
    this.#settled.delete(endpoint.name)
  }

  /**
   * Loads the variants of an endpoint that are missing, and changes nothing yet. The next change of this endpoint waits until this one has
   * ended. Initial endpoints are planned at once, before the first of them is in use.
   * @param desired undefined takes the endpoint out of service
   */
  async prepare(name: string, desired: DesiredEndpoint | undefined): Promise<Change> {
    const { promise: prepared, resolve, reject } = Promise.withResolvers<Change>()
    this.#lanes
      .take(name, async () => {
        if (this.#closed) throw new SlipwayError('SLW_CLOSED', 'the models are closed')
        const { promise: ended, resolve: end } = Promise.withResolvers<void>()
        resolve(desired === undefined ? this.#withdraw(name, end) : await this.#prepare(desired, end))
        await ended
      })
      .catch(reject)
    return await prepared
  }

  async #prepare(desired: DesiredEndpoint, end: () => void): Promise<Change> {
    const step = this.#plan(desired)
    const { endpoint, isNew, added, failed } = step
    // A new endpoint is listed at once, so that it can be seen loading.
    if (isNew) {
      endpoint.replace(added, this.#routingFor(desired, added))
      this.endpoints.set(endpoint.name, endpoint)
    }
    await this.#load(step)
    return {
      failures: failed,
      commit: () => this.#commit(step).finally(end),
      abort: () => this.#undo(step).finally(end),
    }
  }

  #withdraw(name: string, end: () => void): Change {
    return {
      failures: [],
      commit: async () => {
        const removed = [...(this.endpoints.get(name)?.variants ?? [])]
        this.endpoints.delete(name)
        this.#latest.delete(name)
        this.#settled.delete(name)
        const switches = this.#whenEnded(Promise.all(removed.map((variant) => this.#end(variant, 'removed'))).then(() => undefined))
        end()
        return { failures: [], switches }
      },
      abort: async () => end(),
    }
  }

  #newEndpoint({ metadata: { name }, routing, receiptKeys }: DesiredEndpoint): Endpoint {
    const { random, clock, observer, log } = this.#options
    const endpoint = new Endpoint({
      name,
      routing,
      late: this.#started,
      random,
      clock,
      tripped: ({ subject }, reason) => {
        log.error({ ...subject }, `taken out of the traffic of this server: ${reason}, while the variant with the largest share did not`)
        observer.tripped({ subject, reason })
      },
    })
    if (receiptKeys !== undefined) endpoint.useReceiptKeys(receiptKeys)
    return endpoint
  }

  #plan(desired: DesiredEndpoint): Step {
    const {
      metadata: { name },
      spec: { variants: specs },
    } = desired
    const present = this.endpoints.get(name)
    const endpoint = present ?? this.#newEndpoint(desired)
    const kept: Variant[] = []
    const added: Variant[] = []
    const rest = new Map(endpoint.variants.map((variant) => [identityOf(variant.spec), variant]))
    for (const spec of specs) {
      const existing = rest.get(identityOf(spec))
      if (existing !== undefined && !existing.retryDue) {
        rest.delete(identityOf(spec))
        kept.push(existing)
      } else
        added.push(
          new Variant({ ...this.#options, spares: this.#spares, endpoint: name, spec, servingOverrides: this.#options.servingFor(name) }),
        )
    }
    const removed = [...rest.values()]
    return { endpoint, isNew: present === undefined, desired, kept, added, removed, failed: [], loadMs: 0, warmUpMs: 0 }
  }

  async #load(step: Step): Promise<void> {
    const { log } = this.#options
    const { endpoint, isNew } = step
    for (const variant of step.added) {
      if (this.#closed) throw new SlipwayError('SLW_CLOSED', 'the models are closed')
      if (!isNew) {
        this.#beside.add(variant)
        endpoint.loading = [...endpoint.loading, variant]
      }
      try {
        // A model of a new endpoint that does not fit is left for a request to load, rather than loaded in the place of one that fits.
        const times = await this.residency.load(variant, { gentle: this.#slowsOthers(step), ofChange: true, ifRoom: isNew })
        if (times === 'no room') {
          if (step.desired.mustFit === true) throw this.residency.full(variant)
        } else {
          step.loadMs += times.loadMs
          step.warmUpMs += times.warmUpMs
          const { probe } = variant.loaded ?? {}
          log.info(
            { ...variant.subject, loadMs: Math.round(times.loadMs + times.warmUpMs), batchable: probe?.batchable, cost: probe?.cost },
            'model ready',
          )
        }
      } catch (thrown) {
        this.#fail(step, variant, toSlipwayError(thrown))
      }
      endpoint.loading = endpoint.loading.filter((other) => other !== variant)
    }
  }

  #fail({ endpoint, desired, failed }: Step, variant: Variant, error: SlipwayError): void {
    this.#options.log.error({ ...variant.subject, code: error.code }, `model not served: ${error.message}`)
    failed.push(failedLoad(endpoint, variant, { error, weighted: weightOf(desired.routing, variant.spec.name) > 0 }))
  }

  /** Whether a load would slow down variants that serve. At the start of the server all endpoints are to be there soon. */
  #slowsOthers({ endpoint, isNew }: Step): boolean {
    if (!this.#started || (isNew && !endpoint.late)) return false
    for (const variant of this.variants()) if (variant.loaded !== undefined) return true
    return false
  }

  /** The next change of the endpoint begins as soon as this one is in use. */
  async #commit(step: Step): Promise<Applied> {
    const { endpoint, desired, kept, added, removed } = step
    endpoint.forgetFailuresBut(desired.wanted ?? desired.spec.variants.map(({ version }) => version))
    let switches: Promise<SwitchReport | undefined> = Promise.resolve(undefined)
    if (added.length > 0 || removed.length > 0) {
      const { promise: inUse, resolve, reject } = Promise.withResolvers<void>()
      switches = this.#switch(step, resolve)
      switches.catch(reject)
      await inUse
    } else {
      // The order in which variants are declared decides which one a unit gets.
      if (kept.some((variant, index) => endpoint.variants[index] !== variant)) endpoint.replace(kept)
      if (!this.#reroute(this.#latest.get(endpoint.name) ?? desired)) this.#reroute(desired)
    }
    this.#started = true
    return { failures: step.failed, switches: this.#whenEnded(switches) }
  }

  /** What follows the end of the replaced variants; its errors are logged. */
  #whenEnded(ended: Promise<SwitchReport | undefined>): Promise<readonly SwitchReport[]> {
    const reported = ended.then((report) => {
      // The lane of this change ends a moment later. While others load, threads for changes to come would be in their way.
      setImmediate(() => {
        if (this.#options.expectsChanges && !this.#closed && this.#lanes.busy.size === 0) this.#spares.prepare(this.#threadsOfOne())
      })
      this.residency.forget()
      return report !== undefined && report.to.length > 0 ? [report] : []
    })
    reported.catch((error: unknown) => this.#options.log.error({}, `what was replaced did not end as it should: ${messageOf(error)}`))
    return reported
  }

  /** Threads of the variant that has most: a version that replaces it needs as many. */
  #threadsOfOne(): number {
    const loaded = [...this.variants()].map((variant) => variant.loaded).filter((one) => one !== undefined)
    return Math.max(0, ...loaded.filter(({ serving }) => serving.isolation !== 'process').map(({ slots }) => slots.length))
  }

  /** Leaves the endpoint as it was, and closes the variants that were loaded for it. */
  async #undo({ endpoint, isNew, added, failed }: Step): Promise<void> {
    if (isNew) this.endpoints.delete(endpoint.name)
    else this.#goBack(endpoint)
    const refused = new Set(failed.map((failure) => failure.spec))
    endpoint.keepFailures(added.filter((variant) => refused.has(variant.spec)))
    for (const variant of added) {
      this.#beside.delete(variant)
      await variant.close()
    }
  }

  /**
   * Puts the new set of variants into use between two requests. Where a version that was to carry traffic failed, the
   * present ones keep the traffic, and only new ones without a weight that loaded join them.
   */
  async #switch(step: Step, inUse: () => void): Promise<SwitchReport> {
    const { log, clock, observer } = this.#options
    const { endpoint, desired, kept, added, isNew } = step
    const specs = desired.spec.variants
    await faultPoint('switch.begin').catch((error: unknown) => this.#refuse(step, toSlipwayError(error)))
    const from = endpoint.variants.map((variant) => variant.spec)
    const fromVersions = versionsOf(from, endpoint.routing)
    const refused = new Set(step.failed.map((failure) => failure.spec))
    const good = added.filter((variant) => !refused.has(variant.spec))
    const bad = added.filter((variant) => refused.has(variant.spec))
    const served = endpoint.variants.some((variant) => variant.loaded !== undefined || variant.onDemand)
    const holdsBack = !isNew && served && step.failed.some(({ weighted }) => weighted)
    const started = clock.monotonicMs()
    // A version that is loaded from a path stays where a new content of that path was refused.
    const stays = step.removed.filter(
      (variant) => variant.loaded !== undefined && bad.some((other) => other.spec.path === variant.spec.path),
    )
    const removed = holdsBack ? [] : step.removed.filter((variant) => !stays.includes(variant))
    // Variants that were to have a part of the traffic wait for the whole change.
    const joining = holdsBack ? good.filter(({ spec }) => weightOf(desired.routing, spec.name) === 0) : good
    if (holdsBack) this.#goBack(endpoint, [...endpoint.variants, ...joining])
    else {
      // Failed variants stay listed where none can answer: requests get the reason.
      const next = specs
        .map((spec) => [...kept, ...added].find((variant) => identityOf(variant.spec) === identityOf(spec)))
        .filter((variant) => variant !== undefined)
        .filter((variant) => isNew || !bad.includes(variant) || good.length + kept.length === 0)
      const variants = [...stays, ...next]
      endpoint.replace(variants, this.#routingFor(desired, variants))
      this.#settled.delete(endpoint.name)
    }
    const triedAgain = new Set(added.map((variant) => identityOf(variant.spec)))
    const givenUp = removed.filter((variant) => variant.phase === 'failed' && !triedAgain.has(identityOf(variant.spec)))
    endpoint.keepFailures(isNew ? [] : [...givenUp, ...bad])
    for (const variant of added) this.#beside.delete(variant)
    for (const variant of removed) variant.retire()
    // Every variant is ended, even if another one fails to end.
    await using ended = new AsyncDisposableStack()
    for (const variant of removed.toReversed()) ended.defer(() => this.#end(variant, 'replaced'))
    const switchMs = clock.monotonicMs() - started
    inUse()
    await faultPoint('switch.done')
    const draining = clock.monotonicMs()
    await ended.disposeAsync()
    if (!isNew) for (const variant of added) if (!endpoint.variants.includes(variant) && !variant.retired) await variant.close()
    const drainMs = clock.monotonicMs() - draining
    const report: SwitchReport = {
      endpoint: endpoint.name,
      from,
      to: joining.map((variant) => variant.spec),
      loadMs: step.loadMs,
      warmUpMs: step.warmUpMs,
      switchMs,
      drainMs,
    }
    if (!isNew && from.length > 0) {
      const ok = !holdsBack
      observer.change({ endpoint: endpoint.name, ok, switchMs, drainMs })
      const versions = { from: fromVersions, to: versionsOf(specs, desired.routing) }
      const times = { loadMs: round(step.loadMs), warmUpMs: round(step.warmUpMs), switchMs: round(switchMs), drainMs: round(drainMs) }
      if (ok) log.info({ endpoint: endpoint.name, ...versions, ...times }, 'switched')
      else log.error({ endpoint: endpoint.name, ...versions }, 'not switched: the new version cannot be served, the old one goes on')
    }
    return report
  }

  /** Counts the loaded variants of a step as failed. */
  async #refuse(step: Step, error: SlipwayError): Promise<void> {
    for (const variant of step.added) {
      this.#fail(step, variant, error)
      await variant.unload(error)
    }
  }

  /** Lets the variant answer its accepted requests, then frees its memory. */
  async #end(variant: Variant, reason: 'removed' | 'replaced'): Promise<void> {
    const { log, observer, clock, drainTimeoutMs } = this.#options
    const { promise: left, resolve: leave } = Promise.withResolvers<void>()
    await using closing = new AsyncDisposableStack()
    this.#leaving.set(variant, left)
    closing.defer(() => {
      this.#leaving.delete(variant)
      leave()
    })
    closing.defer(() => variant.close())
    variant.retire()
    const end = await orLate(clock, drainTimeoutMs, variant.drain())
    if (end === 'late') log.warn({ ...variant.subject, drainTimeoutMs }, 'requests of the old version did not finish in time')
    await faultPoint('drain.done')
    const wasLoaded = variant.loaded !== undefined
    await closing.disposeAsync()
    if (wasLoaded) observer.unload({ subject: variant.subject, reason })
  }

  /** Loads an unloaded variant for a request. Concurrent calls share one load. */
  async activate(variant: Variant): Promise<void> {
    if (variant.loaded !== undefined && variant.phase === 'ready') return
    const times = await this.residency.load(variant, { gentle: false, ofChange: false, ifRoom: false })
    if (times === 'no room') return
    this.#options.log.info({ ...variant.subject, loadMs: round(times.loadMs + times.warmUpMs) }, 'model loaded on demand')
  }

  /** Ends all variants, also those that are being loaded. */
  async close(): Promise<void> {
    this.#closed = true
    await using closing = new AsyncDisposableStack()
    closing.use(this.#spares)
    await Promise.all([...this.variants(), ...this.#beside, ...this.#leaving.keys()].map((variant) => variant.close()))
  }

  *variants(): Generator<Variant> {
    for (const endpoint of this.endpoints.values()) yield* endpoint.variants
  }
}

/** Several changes as one. */
export function together(changes: readonly Applied[]): Applied {
  const switches = Promise.all(changes.map((applied) => applied.switches)).then((reports) => reports.flat())
  // Each logs its errors; nobody need wait for them here.
  switches.catch(() => {})
  return { failures: changes.flatMap((applied) => applied.failures), switches }
}

function failedLoad(
  { name, variants }: Endpoint,
  { spec }: Variant,
  failure: { readonly error: SlipwayError; readonly weighted: boolean },
): FailedLoad {
  const held = variants.some((variant) => variant.spec.path === spec.path && variant.loaded !== undefined && variant.ready)
  return { endpoint: name, spec, held, ...failure }
}

/** Identities by name; of two variants with one name the first counts, as requests go to it. */
function identities(specs: readonly VariantSpec[]): Map<string, string> {
  return new Map(specs.toReversed().map((spec) => [spec.name, identityOf(spec)]))
}

function versionsOf(specs: readonly VariantSpec[], routing: Routing): string[] {
  return specs.map(({ name, version }) => (weightOf(routing, name) > 0 ? version : `${version} (no traffic)`))
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
