/**
 * Following is what a server or an application does to serve what a control plane declares: it fetches documents and versions, keeps them,
 * and reports.
 */
import { firstCharacters } from '../core/text.ts'
import { isDeepStrictEqual } from 'node:util'
import { modelReference } from '../contract/endpoint.ts'
import { everythingTo, fits, isComplete, whenLost } from '../contract/routing.ts'
import { isWhole } from '../core/list-digest.ts'
import { API_VERSION } from '../contract/schema.ts'
import { messageOf, SlipwayError, toSlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { Semaphore } from '../core/semaphore.ts'
import { Lanes, Turns } from '../core/turns.ts'
import { filesAreToBlame } from '../serving/load-failures.ts'
import { StateFile } from './kept-state.ts'
import type { DesiredEndpoint } from '../contract/desired-endpoint.ts'
import type { FollowedEndpoint, FollowedState, FollowedVariant, VersionCondition } from '../contract/followed-state.ts'
import type { Variants } from '../contract/routing.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { LiveEndpoint } from '../serving/live.ts'
import type { Applied } from '../serving/reconciler.ts'
import type { ControlPlaneClient } from './control-plane-client.ts'
import type { HeldVersion, LocalStore } from './local-store.ts'
import type { EndpointState, FollowStatus, Selection } from './types.ts'

export interface FollowerOptions {
  readonly selection: Selection
  /** URL of the control plane; state kept of another one is ignored. */
  readonly url: string
  /** Name under which the state is kept in the store. */
  readonly name: string
  readonly client: Pick<ControlPlaneClient, 'follow' | 'manifest' | 'bytes'>
  readonly store: LocalStore
  /** Changes what is served of an endpoint; undefined takes it out of service. */
  readonly change: (name: string, desired: DesiredEndpoint | undefined) => Promise<Applied>
  /** Applies the routing of a desired state at once, for changes of routing alone. */
  readonly route: (desired: readonly DesiredEndpoint[]) => void
  /** The actual state of the served endpoints. */
  readonly live: () => readonly LiveEndpoint[]
  readonly clock: Clock
  readonly log: Logger
  /** Called when something that `status` reports has changed. */
  readonly onChange?: () => void
  /** Whether the control plane is asked continuously. Default: true; otherwise at the start and by `refresh`. */
  readonly continuous?: boolean
  /** 0 to 1. Default: Math.random. */
  readonly random?: () => number
}

/** Time that the control plane may hold a request until there is something new. */
const WAIT_MS = 20_000
/** Pause after a failure: half a second, doubling to half a minute, each with jitter. */
const FIRST_PAUSE_MS = 500
const PAUSE_MAX_MS = 30_000
/** Pause after an answer that came although nothing was new. */
const PAUSE_UNASKED_MS = 2000
/** Upper limit of versions that are fetched at the same time. */
const FETCHES = 3
/** Shortest time between two progress reports of a download. */
const TELL_EVERY_MS = 1000

/** An endpoint that is to be served, and its progress. */
interface EndpointGoal {
  /** The versions stay the same; revision and routing are the latest received. */
  endpoint: FollowedEndpoint
  readonly conditions: VersionCondition[]
  readonly ended: AbortController
}

/** An endpoint that has been put into use. */
interface Present {
  readonly endpoint: FollowedEndpoint
  readonly held: readonly HeldVersion[]
  /** The endpoint could not be loaded, and nothing served before it: it is listed, so that requests are answered with the reason. */
  readonly failed?: boolean
  /** It is being loaded: what serves meanwhile, and what has served last. */
  readonly loading?: { readonly serves: Present | undefined; readonly served: FollowedEndpoint | undefined }
}

/**
 * Serves what a control plane declares: asks for documents, fetches the versions that they name, has them loaded beside the serving ones,
 * and goes on serving if the control plane fails. Endpoints do not hold up each other.
 */
export class Follower implements AsyncDisposable {
  readonly #options: FollowerOptions
  readonly #file: StateFile
  readonly #targets = new Map<string, EndpointGoal>()
  readonly #present = new Map<string, Present>()
  readonly #fetches = new Semaphore(FETCHES)
  /** Changes of what is served, by endpoint. */
  readonly #changes = new Lanes()
  readonly #writes = new Turns()
  readonly #ended = new AbortController()
  readonly #work = new Set<Promise<void>>()
  #known: { readonly state: FollowedState; readonly etag: string } | undefined
  /** Time of the last answer of the control plane, also to the process before: monotonic, and UTC epoch. */
  #heardMs: number
  #heardAtMs: number
  #trouble: string | undefined
  #storeTrouble: string | undefined
  /** Resolves once the first request to the control plane has been answered or has failed. */
  readonly #asked = Promise.withResolvers<void>()
  #lastTold = 0
  /** Reasons why targets are not reached, by endpoint. */
  readonly #failures = new Map<string, SlipwayError>()

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#file = new StateFile(options.store.folder, options.name)
    this.#heardMs = options.clock.monotonicMs()
    this.#heardAtMs = options.clock.epochMs()
  }

  /**
   * Serves the kept state, asks the control plane, and resolves when everything declared serves or has failed. Where there is no answer,
   * the kept state is what is declared.
   */
  async start(): Promise<void> {
    await this.#restore()
    if (this.#options.continuous ?? true) this.#track(this.#follow())
    else this.#asked.resolve(this.#askOnce())
    await this.#asked.promise
    await Promise.all([...this.#targets.values()].map((target) => this.#settled(target)))
    // Kept endpoints that are refused by now are no targets, and serve all the same.
    while ([...this.#present.values()].some(({ loading }) => loading !== undefined) && !this.#ended.signal.aborted) await this.#pause(20)
  }

  /** Asks the control plane at once, and resolves when everything declared serves or has failed; `failure` returns the reason. */
  async refresh(): Promise<void> {
    await this.#askOnce()
    await Promise.all([...this.#targets.values()].map((target) => this.#settled(target)))
  }

  /** Reason why the declared state is not the served one; undefined where it is. */
  failure(): SlipwayError | undefined {
    if (this.#trouble !== undefined) return new SlipwayError('SLW_UNREACHABLE', this.#trouble)
    const refused = this.#known?.state.references?.find(({ variant }) => variant === undefined)
    if (refused !== undefined)
      return new SlipwayError('SLW_POLICY_REFUSED', `${refused.reference}: ${refused.refused ?? 'it means no version'}`)
    return [...this.#failures.values()][0]
  }

  status(): FollowStatus {
    const live = this.#options.live()
    const source = this.#known?.state.source?.id
    return {
      ...(source !== undefined && { source }),
      staleSeconds: (this.#options.clock.monotonicMs() - this.#heardMs) / 1000,
      trouble: this.#trouble ?? this.#storeTrouble,
      endpoints: [...this.#targets.values()].map((target) => this.#stateOf(target, live)),
    }
  }

  #stateOf({ endpoint, conditions }: EndpointGoal, live: readonly LiveEndpoint[]): EndpointState {
    const versions = [...conditions]
    const now = live.find(({ name }) => name === endpoint.name)
    // Versions that still serve while others are on their way are reported too.
    const present = this.#present.get(endpoint.name)
    const serving = present?.loading === undefined ? present : present.loading.serves
    for (const variant of serving === undefined || serving.failed === true ? [] : serving.endpoint.variants)
      if (!conditions.some(({ variant: name, digest }) => name === variant.name && digest === variant.digest))
        versions.push(conditionOf(variant, 'ready', { serves: true }))
    return {
      name: endpoint.name,
      revision: endpoint.revision,
      ...(now?.segment !== undefined && { segment: now.segment }),
      versions: versions.map((condition) => asItIs(condition, now)),
    }
  }

  /** Serves what the process before served, from this machine alone. */
  async #restore(): Promise<void> {
    const { url, log, clock } = this.#options
    const found = await this.#file.read(url)
    if (found === undefined) return
    const { kept, heardAtMs } = found
    this.#heardAtMs = Math.min(heardAtMs, clock.epochMs())
    this.#heardMs = clock.monotonicMs() - (clock.epochMs() - this.#heardAtMs)
    this.#known = { state: kept.state, etag: kept.etag }
    // Endpoints that were refused since they were put into use go on serving.
    const refused = Object.values(kept.served).filter(({ name }) => isRefused(kept.state, name))
    const declared = [...endpointsOf(kept.state), ...refused]
    for (const endpoint of declared) {
      const before = kept.served[endpoint.name]
      const held = await this.#holdAll(endpoint)
      const older = before === undefined || isDeepStrictEqual(before.variants, endpoint.variants) ? undefined : await this.#holdAll(before)
      const served = before === undefined || older === undefined ? undefined : { endpoint: before, held: older }
      const first = held === undefined ? served : { endpoint, held }
      if (first === undefined) continue
      this.#present.set(endpoint.name, { ...first, loading: { serves: undefined, served: before } })
      this.#track(this.#changes.take(endpoint.name, () => this.#serveKept(endpoint.name, first === served ? undefined : served)))
    }
    if (this.#present.size > 0) log.info({ endpoints: [...this.#present.keys()] }, 'serving what was kept on this machine')
    this.#adopt(kept.state)
  }

  /** @param second what served before, where what is declared cannot be loaded */
  async #serveKept(name: string, second: Present | undefined): Promise<void> {
    const failed = await this.#change(name).then(
      ({ failures }) => failures.length > 0,
      (error: unknown) => {
        this.#options.log.error({ endpoint: name }, `what was kept is not served: ${messageOf(error)}`)
        return true
      },
    )
    if (failed && second !== undefined) {
      this.#replace(name, second)
      await this.#change(name)
      return
    }
    const { endpoint, held } = this.#present.get(name)!
    // An endpoint that cannot be loaded serves nothing: it is to be loaded anew.
    this.#present.set(name, { endpoint, held, failed })
    if (second !== undefined) letGo(second)
  }

  async #holdAll({ variants }: FollowedEndpoint): Promise<HeldVersion[] | undefined> {
    const held: HeldVersion[] = []
    for (const { digest } of variants) {
      const version = await this.#options.store.hold(digest)
      if (version === undefined) {
        for (const other of held) other[Symbol.dispose]()
        return undefined
      }
      held.push(version)
    }
    return held
  }

  async #follow(): Promise<void> {
    // After a start or a failure, the answer is wanted at once.
    let waitMs = 0
    for (let failures = 0; !this.#ended.signal.aborted;) {
      const before = this.#trouble
      try {
        const askedMs = this.#options.clock.monotonicMs()
        const told = await this.#ask(waitMs)
        // An answer that says nothing new came too soon: something on the way has changed its ETag, or does not wait.
        const atOnce = waitMs > 0 && this.#options.clock.monotonicMs() - askedMs < PAUSE_UNASKED_MS
        if (told === 'known' || (told === 'unchanged' && atOnce)) await this.#pause(PAUSE_UNASKED_MS)
        waitMs = WAIT_MS
        failures = 0
        this.#trouble = undefined
      } catch (error) {
        if (this.#ended.signal.aborted) break
        waitMs = 0
        this.#trouble = messageOf(error)
        if (this.#trouble !== before)
          this.#options.log.warn({}, `the control plane cannot be followed: ${this.#trouble}; what is served goes on`)
        this.#asked.resolve()
        await this.#pause(Math.min(pauseMs(failures++, this.#options.random ?? Math.random), this.#untilLostMs()))
        this.#routeAll()
      }
      if (this.#trouble === undefined && before !== undefined) {
        this.#options.log.info({}, 'the control plane answers again')
        this.#routeAll()
      }
      if (this.#trouble !== before) this.#options.onChange?.()
      this.#asked.resolve()
    }
    this.#asked.resolve()
  }

  async #askOnce(): Promise<void> {
    try {
      await this.#ask(0)
      this.#trouble = undefined
    } catch (error) {
      this.#trouble = messageOf(error)
    }
  }

  /** @param signals end the pause early, as the end of the follower does */
  async #pause(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.clock.after(ms, resolve)
    const ends = [this.#ended.signal, ...signals]
    const end = (): void => resolve()
    for (const signal of ends) {
      signal.addEventListener('abort', end, { once: true })
      if (signal.aborted) resolve()
    }
    await promise
    for (const signal of ends) signal.removeEventListener('abort', end)
    cancel()
  }

  async #ask(waitMs: number): Promise<'new' | 'known' | 'unchanged'> {
    const { client, selection, clock } = this.#options
    const answer = await client.follow(selection, this.#known?.etag, { waitMs, signal: this.#ended.signal })
    const known = answer !== undefined && isDeepStrictEqual(answer.state, this.#known?.state)
    if (answer !== undefined && !known) await this.#accept(answer)
    this.#heardMs = clock.monotonicMs()
    this.#heardAtMs = clock.epochMs()
    await this.#file.heard(this.#heardAtMs)
    return known ? 'known' : answer === undefined ? 'unchanged' : 'new'
  }

  /** @throws SLW_CONFLICT for a document of another database that nobody has adopted; SLW_UNREACHABLE for a document that is older than the one that is known, or of another environment */
  async #accept(answer: { readonly state: FollowedState; readonly etag: string }): Promise<void> {
    const known = this.#known?.state
    const { era, generation, environment, source } = answer.state
    const isAnother = known?.source !== undefined && source !== undefined && source.id !== known.source.id
    if (isAnother && !source.succeeds.includes(known.source!.id))
      throw new SlipwayError(
        'SLW_CONFLICT',
        `it has another database (${source.id}) than the one that is followed (${known.source!.id}): it was restored or made anew, or another control plane has its address. Nothing is taken from it; if it is the one to follow, say so there: slipway server adopt`,
      )
    if (known !== undefined && !isAnother && era === known.era && generation === known.generation && !sameEndpoints(known, answer.state))
      throw new SlipwayError(
        'SLW_CONFLICT',
        `it gives another document of generation ${generation} than before: its database was put back to an earlier state. Nothing is taken from it; if it is to be followed, say so there: slipway server adopt`,
      )
    if (known !== undefined && !isAnother && (era < known.era || (era === known.era && generation < known.generation)))
      throw new SlipwayError(
        'SLW_UNREACHABLE',
        `it gives an old document: generation ${generation} of era ${era} after generation ${known.generation} of era ${known.era}`,
      )
    if (known !== undefined && environment !== known.environment)
      throw new SlipwayError('SLW_UNREACHABLE', `it gives a document of environment "${environment}", "${known.environment}" is followed`)
    requireWhole(answer.state, known)
    this.#known = answer
    await this.#keep()
    await faultPoint('document.kept')
    this.#adopt(answer.state)
  }

  /** Starts work towards the state that a document declares. */
  #adopt(state: FollowedState): void {
    const { onChange, log } = this.#options
    const declared = endpointsOf(state)
    const names = new Set(declared.map(({ name }) => name))
    for (const [name, target] of this.#targets) {
      if (names.has(name)) continue
      target.ended.abort()
      this.#targets.delete(name)
      this.#failures.delete(name)
    }
    for (const refused of state.references?.filter((one) => one.variant === undefined) ?? [])
      log.warn({ reference: refused.reference }, `not followed: ${refused.refused ?? 'no version'}`)
    for (const name of this.#present.keys()) if (!names.has(name) && !isRefused(state, name)) this.#track(this.#drop(name))
    for (const endpoint of declared) {
      const target = this.#targets.get(endpoint.name)
      if (target !== undefined && this.#reroute(target, endpoint)) continue
      target?.ended.abort()
      const next: EndpointGoal = {
        endpoint,
        conditions: endpoint.variants.map((variant) => conditionOf(variant, 'waiting', { serves: false })),
        ended: new AbortController(),
      }
      this.#targets.set(endpoint.name, next)
      this.#failures.delete(endpoint.name)
      this.#track(this.#reach(next))
    }
    // New routing applies from here on, also to the versions that serve until the new ones are there.
    this.#routeAll()
    onChange?.()
  }

  #routeAll(): void {
    this.#options.route([...this.#present.values()].map((present) => this.#desiredOf(present)))
  }

  /** Time until an endpoint goes back as nothing was heard for too long. */
  #untilLostMs(): number {
    const staleMs = this.#options.clock.monotonicMs() - this.#heardMs
    const waits = [...this.#targets.values()].flatMap(({ endpoint: { routing } }) =>
      routing.lost === undefined ? [] : [routing.lost.afterSeconds * 1000 - staleMs],
    )
    return Math.min(Infinity, ...waits.filter((wait) => wait > 0).map((wait) => wait + 1))
  }

  /**
   * Where the versions of an endpoint are the same, takes over its other fields at once.
   * @returns whether there is nothing more to do
   */
  #reroute(target: EndpointGoal, endpoint: FollowedEndpoint): boolean {
    const before = target.endpoint
    if (!isDeepStrictEqual(before.variants, endpoint.variants)) return false
    // A version that could not be loaded is tried again for another revision.
    if (before.revision !== endpoint.revision && target.conditions.some(({ state }) => state === 'failed')) return false
    if (isDeepStrictEqual(before, endpoint)) return true
    target.endpoint = endpoint
    const present = this.#present.get(endpoint.name)
    if (present !== undefined && isDeepStrictEqual(present.endpoint.variants, endpoint.variants)) {
      this.#present.set(endpoint.name, { ...present, endpoint })
      this.#track(this.#keep())
    }
    return true
  }

  /** Ends an endpoint that is not declared any more. */
  async #drop(name: string): Promise<void> {
    await this.#changes.take(name, async () => {
      const present = this.#present.get(name)
      if (present === undefined || this.#targets.has(name) || isRefused(this.#known!.state, name)) return
      this.#present.delete(name)
      const { switches } = await this.#change(name)
      this.#letGoAfter(switches, present)
      await this.#keep()
    })
  }

  /** Tries until the target serves, or another one has taken its place. */
  async #reach(target: EndpointGoal): Promise<void> {
    const { signal } = target.ended
    for (let failures = 0; !signal.aborted && !this.#ended.signal.aborted; failures++) {
      try {
        await this.#bring(target)
        this.#failures.delete(target.endpoint.name)
        return
      } catch (error) {
        if (signal.aborted || this.#ended.signal.aborted) return
        const failure = toSlipwayError(error)
        const { code, message } = failure
        this.#failures.set(target.endpoint.name, failure)
        this.#options.log.error(
          { endpoint: target.endpoint.name, revision: target.endpoint.revision, code },
          `revision not served: ${message}`,
        )
        for (const [index, condition] of target.conditions.entries())
          if (condition.state !== 'ready')
            target.conditions[index] = { ...without(condition), state: 'failed', reason: firstCharacters(message, 4000) }
        this.#tell()
        // Another revision may bring other files; these will fail again.
        if (filesAreToBlame(code)) return
        await this.#pause(pauseMs(failures, this.#options.random ?? Math.random), signal)
      }
    }
  }

  async #bring(target: EndpointGoal): Promise<void> {
    const { endpoint: wanted, ended } = target
    const signal = AbortSignal.any([ended.signal, this.#ended.signal])
    const held: HeldVersion[] = []
    let used = false
    try {
      for (const [index, variant] of wanted.variants.entries()) {
        const condition = (state: VersionCondition['state'], progress?: number): void => {
          target.conditions[index] = conditionOf(variant, state, { serves: false, ...(progress !== undefined && { progress }) })
          this.#tell()
        }
        held.push(await this.#fetch(variant, signal, (percent) => condition('downloading', percent)))
        condition('loading')
      }
      await this.#changes.take(wanted.name, async () => {
        if (signal.aborted) return
        const { endpoint } = target
        const before = await this.#clearFailed(endpoint.name)
        this.#present.set(endpoint.name, { endpoint, held, loading: { serves: before, served: before?.endpoint } })
        const { failures, switches } = await this.#change(endpoint.name).catch((error: unknown) => {
          // Nothing was taken over: the endpoint is as it was before.
          if (before === undefined) this.#present.delete(endpoint.name)
          else this.#present.set(endpoint.name, before)
          throw error
        })
        const [failure] = failures
        if (failure !== undefined) {
          this.#failures.set(endpoint.name, failure.error)
          this.#present.set(endpoint.name, before ?? { endpoint: target.endpoint, held, failed: true })
          // Variants of it that serve already are taken out again, and their files let go after that.
          const gone = before === undefined ? undefined : await this.#change(endpoint.name)
          used = true
          if (gone !== undefined) this.#letGoAfter(gone.switches, { endpoint, held })
          throw failure.error
        }
        used = true
        this.#present.set(endpoint.name, { endpoint: this.#present.get(endpoint.name)!.endpoint, held })
        if (before !== undefined) this.#letGoAfter(switches, before)
        for (const [index, variant] of endpoint.variants.entries())
          target.conditions[index] = conditionOf(variant, 'ready', { serves: true })
        this.#tell(true)
        await this.#keep()
      })
    } finally {
      if (!used) for (const version of held) version[Symbol.dispose]()
    }
  }

  /** The endpoint that served before. One that could not be loaded is removed, so that it is loaded anew. */
  async #clearFailed(name: string): Promise<Present | undefined> {
    const before = this.#present.get(name)
    if (before?.failed !== true) return before
    this.#present.delete(name)
    await this.#change(name)
    letGo(before)
    return undefined
  }

  /** Keeps the files of a replaced endpoint until its last request is answered. */
  #letGoAfter(switches: Promise<unknown>, present: Present): void {
    // Errors on ending the endpoint are reported where it is ended.
    this.#track(switches.catch(() => {}).then(() => letGo(present)))
  }

  #replace(name: string, next: Present): void {
    const before = this.#present.get(name)
    this.#present.set(name, next)
    if (before !== undefined) letGo(before)
  }

  async #fetch(variant: FollowedVariant, signal: AbortSignal, onProgress: (percent: number) => void): Promise<HeldVersion> {
    const { store, client, clock } = this.#options
    // A version that is in the store needs no place in the queue.
    const here = await store.hold(variant.digest)
    if (here !== undefined) return here
    let told = -Infinity
    const tell = (percent: number): void => {
      const now = clock.monotonicMs()
      if (now - told < TELL_EVERY_MS) return
      told = now
      onProgress(percent)
    }
    return await this.#fetches.take(async () => {
      onProgress(0)
      return await store.fetch(variant, client, { signal, onProgress: tell })
    })
  }

  /** Makes what is served of an endpoint what is present of it. */
  #change(name: string): Promise<Applied> {
    const present = this.#present.get(name)
    return this.#options.change(name, present === undefined ? undefined : this.#desiredOf(present))
  }

  #desiredOf(present: Present): DesiredEndpoint {
    const { name } = present.endpoint
    const desired = desiredOf(present, this.#targets.get(name)?.endpoint, this.#failures.has(name))
    const { lost } = desired.routing
    const isLost = lost !== undefined && this.#options.clock.monotonicMs() - this.#heardMs >= lost.afterSeconds * 1000
    return isLost ? { ...desired, routing: whenLost(desired.routing) } : desired
  }

  /** Writes down what is known and served. A failure is reported, and serving goes on. */
  async #keep(): Promise<void> {
    await this.#writes.take(async () => {
      if (this.#known === undefined) return
      const worked = [...this.#present].map(([name, { endpoint, failed, loading }]) => {
        const last = loading === undefined ? endpoint : loading.served
        return [name, failed === true ? undefined : last] as const
      })
      const served = Object.fromEntries(worked.filter((one): one is [string, FollowedEndpoint] => one[1] !== undefined))
      try {
        await this.#file.write({ url: this.#options.url, ...this.#known, served })
        this.#storeTrouble = undefined
      } catch (error) {
        this.#storeTrouble = `what is served cannot be written down: ${messageOf(error)}`
        this.#options.log.error({}, this.#storeTrouble)
      }
    })
  }

  /** Reports a change; during downloads, at most once a second. */
  #tell(now = false): void {
    const at = this.#options.clock.monotonicMs()
    const downloads = [...this.#targets.values()].some(({ conditions }) => conditions.some(({ state }) => state === 'downloading'))
    if (!now && downloads && at - this.#lastTold < TELL_EVERY_MS) return
    this.#lastTold = at
    this.#options.onChange?.()
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#options.log.error({}, `following: ${messageOf(error)}`))
      .finally(() => this.#work.delete(tracked))
    this.#work.add(tracked)
  }

  /** Resolves when a target serves or has failed for the first time. */
  async #settled({ conditions, ended }: EndpointGoal): Promise<void> {
    while (!ended.signal.aborted && !this.#ended.signal.aborted && conditions.some(({ state }) => state !== 'ready' && state !== 'failed'))
      await this.#pause(20)
  }

  /** Ends following: endpoints go on being served, without updates. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    for (const { ended } of this.#targets.values()) ended.abort()
    await Promise.all(this.#work)
    for (const present of this.#present.values()) letGo(present)
    this.#present.clear()
  }
}

function letGo({ held }: Present): void {
  for (const version of held) version[Symbol.dispose]()
}

function without({ progress: _progress, ...condition }: VersionCondition): VersionCondition {
  return condition
}

function conditionOf(
  { name, model, version, digest }: FollowedVariant,
  state: VersionCondition['state'],
  more: Pick<VersionCondition, 'serves' | 'progress' | 'reason'>,
): VersionCondition {
  return { variant: name, model, version, digest, state, ...more }
}

/** The endpoints that a document declares; a single version is an endpoint of its own, called after its model. */
function endpointsOf({ endpoints, references = [] }: FollowedState): FollowedEndpoint[] {
  const single = references.flatMap(({ variant }) =>
    variant === undefined
      ? []
      : [
          {
            name: variant.model,
            labels: {},
            generation: 1,
            revision: variant.version,
            variants: [variant],
            routing: everythingTo(variant.name, variant.model),
          },
        ],
  )
  return [...endpoints, ...single]
}

/** Whether the version of a model was refused: the one before it then stays in service. */
function isRefused({ references = [] }: FollowedState, model: string): boolean {
  return references.some(({ reference, variant }) => variant === undefined && modelReference(reference).model === model)
}

/**
 * @param latest the endpoint as it is to become: its routing applies already, as far as its variants are there
 * @param failed whether `latest` could not be put into use
 */
function desiredOf({ endpoint, held }: Present, latest: FollowedEndpoint | undefined, failed: boolean): DesiredEndpoint {
  const { name, labels, revision, variants } = endpoint
  const isNewer = ({ routing }: FollowedEndpoint, declared: Variants, present: Variants): boolean =>
    failed ? isComplete(routing, declared, present) : fits(routing, declared, present, endpoint.routing)
  const newer = latest !== undefined && isNewer(latest, identitiesOf(latest), identitiesOf(endpoint))
  return {
    apiVersion: API_VERSION,
    kind: 'Endpoint',
    metadata: { name, labels, generation: revision },
    spec: {
      variants: variants.map((variant, index) => ({
        name: variant.name,
        model: variant.model,
        version: String(variant.version),
        path: held[index]!.folder,
        fingerprint: held[index]!.fingerprint,
        checked: true,
        serving: variant.serving,
      })),
    },
    routing: newer ? latest.routing : endpoint.routing,
    // Whatever is still being loaded: receipts of other servers are believed as soon as their keys are known.
    ...receiptKeysOf(latest ?? endpoint),
    wanted: (latest ?? endpoint).variants.map(({ version }) => String(version)),
  }
}

function receiptKeysOf({ receiptKeys }: FollowedEndpoint): Pick<DesiredEndpoint, 'receiptKeys'> {
  return receiptKeys === undefined ? {} : { receiptKeys }
}

function identitiesOf({ variants }: FollowedEndpoint): Map<string, string> {
  return new Map(variants.map((variant) => [variant.name, JSON.stringify(variant)]))
}

/** The current condition of a version: one that was put into use may have failed since, even repeatedly. */
function asItIs(condition: VersionCondition, live: LiveEndpoint | undefined): VersionCondition {
  if (!condition.serves) return condition
  const now = live?.variants.find(({ name, version }) => name === condition.variant && version === String(condition.version))
  if (now?.tripped !== undefined) return { ...condition, serves: false, tripped: firstCharacters(now.tripped, 1000) }
  if (now === undefined || now.ready) return condition
  return { ...condition, state: 'failed', serves: false, reason: firstCharacters(now.reason ?? 'it is not ready', 4000) }
}

/** Half a second, doubling to half a minute; half of it is jitter, so that clients of a lost server do not all return at once. */
function pauseMs(failures: number, random: () => number): number {
  const most = Math.min(PAUSE_MAX_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 16))
  return most / 2 + (most / 2) * random()
}

/**
 * Endpoints are taken away only where the document says how many there are: one that was emptied on its way takes none.
 * @throws SLW_UNREACHABLE
 */
function requireWhole({ endpoints, list, references }: FollowedState, known: FollowedState | undefined): void {
  if (list !== undefined && !isWhole(list, endpoints, references))
    throw new SlipwayError(
      'SLW_UNREACHABLE',
      endpoints.length === list.count
        ? 'it gives endpoints, or versions, that are not those which its digest is of: they were changed on their way'
        : `it gives ${endpoints.length} endpoints, and says that there are ${list.count}`,
    )
  if (list === undefined && endpoints.length === 0 && known !== undefined && known.endpoints.length > 0)
    throw new SlipwayError(
      'SLW_UNREACHABLE',
      `it gives no endpoint, and does not say that there is none: nothing is taken away from the ${known.endpoints.length} that are followed`,
    )
}

/** Documents of one generation differ in what single references mean only. */
function sameEndpoints(a: FollowedState, b: FollowedState): boolean {
  return isDeepStrictEqual(a.endpoints, b.endpoints)
}
