import { realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, relative, resolve } from 'node:path'
import { everythingTo, weightOf } from '../../contract/routing.ts'
import { API_VERSION, closest } from '../../contract/schema.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { Turns } from '../../core/turns.ts'
import { fingerprintOf } from '../../model/fingerprint.ts'
import { chooseVersions, findPackages } from '../../model/layout.ts'
import { Attempts } from './attempts.ts'
import { scan } from './scan.ts'
import type { DesiredEndpoint, VariantSpec } from '../../contract/desired-endpoint.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { LayoutKind, SkippedEntry, VersionPolicy } from '../../model/layout.ts'
import type { Applied, FailedLoad, SwitchReport } from '../reconciler.ts'
import type { FoundVersion, ModelSource } from './scan.ts'

export interface RepositoryOptions {
  readonly sources: readonly ModelSource[]
  readonly versions: VersionPolicy
  /** Further folders that a switch may take models from. */
  readonly modelRoots: readonly string[]
  /** Whether the version loaded from a path still answers. Default: it does. */
  readonly serves?: (endpoint: string, path: string) => boolean
  /** Applies a desired state. */
  readonly apply: (desired: readonly DesiredEndpoint[]) => Promise<Applied>
  readonly clock: Clock
  readonly log: Logger
}

/** Target of a switch: a path, a version of the model's own folder, or `policy`. */
export type SwitchTo = { readonly path: string } | { readonly version: string }

export interface Switched {
  readonly model: string
  readonly old: readonly VariantSpec[]
  readonly new: readonly VariantSpec[]
  readonly pinned: boolean
  readonly times: Pick<SwitchReport, 'loadMs' | 'warmUpMs' | 'switchMs' | 'drainMs'>
}

/** A model that the repository knows, whether it is served or not. */
export interface KnownModel {
  readonly name: string
  readonly versions: readonly string[]
  /** The path that the model was switched to, until the policy decides again. */
  readonly pinned: string | undefined
  /** Whether the model was unloaded on request. */
  readonly unloaded: boolean
}

const SERVED_NOTHING: Switched['times'] = { loadMs: 0, warmUpMs: 0, switchMs: 0, drainMs: 0 }

/**
 * Makes the desired state from files and requests: the versions that were found, those that the policy chooses, the one
 * pinned by a switch, the models that were unloaded. Keeps all of it in memory: after a restart the policy decides.
 */
export class Repository {
  readonly #options: RepositoryOptions
  /** Versions that are known to be complete, by model name. */
  #settled = new Map<string, readonly FoundVersion[]>()
  /** Fingerprints of the previous scan, by path: a version that is the same in two scans counts as complete. */
  #previous = new Map<string, string>()
  /** Paths of versions that the last scan did not find although their source could be read. */
  #missing = new Set<string>()
  readonly #pins = new Map<string, VariantSpec>()
  readonly #unloaded = new Set<string>()
  readonly #attempts: Attempts
  /** The desired state that was last applied. */
  #applied: readonly DesiredEndpoint[] = []
  readonly #warned = new Set<string>()
  /** What each source was found to be at the start, which no later entry changes. */
  readonly #kinds = new Map<ModelSource, LayoutKind>()
  /** Entries that the last scan of each source passed over. */
  readonly #skipped = new Map<ModelSource, readonly SkippedEntry[]>()
  readonly #turns = new Turns()
  #cancelPoll: (() => void) | undefined
  #closed = false

  constructor(options: RepositoryOptions) {
    this.#options = options
    this.#attempts = new Attempts(options.clock)
  }

  /** Serves the versions that were read, as the policy chooses; where one cannot be loaded, the next older one. */
  start(): Promise<readonly FailedLoad[]> {
    return this.#exclusive(async () => (await this.#reconcile()).failures)
  }

  /** Reads the sources, and changes nothing yet. @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID, SLW_CONFIG_INVALID */
  async read(): Promise<DesiredEndpoint[]> {
    const { sources, versions } = this.#options
    const owner = new Map<string, string>()
    for (const source of sources) {
      const found = await this.#scan(source)
      for (const [name, all] of Map.groupBy(found, (version) => version.name)) {
        const other = owner.get(name)
        if (other !== undefined)
          throw new SlipwayError(
            'SLW_CONFIG_INVALID',
            `two models are named "${name}": ${other} and ${source.path}; name one with NAME=PATH`,
          )
        owner.set(name, source.path)
        chooseVersions(all, versions, name)
        this.#settled.set(name, all)
      }
      for (const version of found) this.#previous.set(version.path, version.fingerprint)
    }
    return this.documents()
  }

  /** The present desired state. */
  documents(): DesiredEndpoint[] {
    const documents: DesiredEndpoint[] = []
    for (const name of this.#names()) {
      const variants = this.#unloaded.has(name) ? [] : this.#variants(name)
      // The version that requests go to comes last.
      const newest = variants.at(-1)
      if (newest === undefined) continue
      const routing = everythingTo(newest.name, name)
      const wanted = this.#wanted(name)
      documents.push({ apiVersion: API_VERSION, kind: 'Endpoint', metadata: { name, generation: 1 }, spec: { variants }, routing, wanted })
    }
    return documents
  }

  /** Variants of a model in the order of versions; a pinned one comes last. */
  #variants(name: string): VariantSpec[] {
    const all = this.#settled.get(name) ?? []
    const usable = all.map((version) => this.#attempts.usable(version)).filter((version) => version !== undefined)
    // When none is usable, the first choice stays desired, so that requests get its error.
    const rest = usable.length > 0 ? [] : all.map((version) => this.#attempts.lastGood(version) ?? version)
    const chosen = chooseVersions([...usable, ...rest], this.#options.versions, name, true)
    const specs = chosen.map(specOf)
    const pin = this.#pins.get(name)
    if (pin === undefined) return specs
    if (this.#options.versions === 'latest') return [pin]
    return [...specs.filter((spec) => spec.version !== pin.version), pin]
  }

  /** Versions of a model that would be served if all could be loaded. */
  #wanted(name: string): string[] {
    const chosen = chooseVersions(this.#settled.get(name) ?? [], this.#options.versions, name, true).map(({ version }) => version)
    const pin = this.#pins.get(name)
    if (pin === undefined) return chosen
    return this.#options.versions === 'latest' ? [pin.version] : [...chosen, pin.version]
  }

  #names(): Set<string> {
    return new Set([...this.#settled.keys(), ...this.#pins.keys()])
  }

  models(): KnownModel[] {
    return [...this.#names()].map((name) => ({
      name,
      versions: (this.#settled.get(name) ?? []).map((version) => version.version),
      pinned: this.#pins.get(name)?.path,
      unloaded: this.#unloaded.has(name),
    }))
  }

  /**
   * Serves another version of a model and keeps it, whatever the folder says, until it is switched to `policy`. Resolves
   * when the new one serves and the old one has ended; when the new one cannot be served, the old one goes on.
   * @throws SLW_MODEL_NOT_FOUND, SLW_PATH_REFUSED, SLW_PATH_NOT_FOUND, and errors of the new version
   */
  async switchTo(name: string, target: SwitchTo): Promise<Switched> {
    const ended = await this.#exclusive(async () => {
      if ('version' in target && target.version === 'policy') {
        // The folder counts as it is now, and not as it was at the last scan.
        await this.#rescan(true)
        return this.#change(name, () => this.#toPolicy(name))
      }
      const pin = 'path' in target ? await this.#pinPath(name, target.path) : this.#pinVersion(name, target.version)
      return this.#change(name, () => {
        this.#pins.set(name, pin)
        this.#unloaded.delete(name)
        this.#attempts.forgive(pin.path)
      })
    })
    return await ended()
  }

  /** Takes a model out of service. */
  async unload(name: string): Promise<void> {
    const ended = await this.#exclusive(async () => {
      this.#requireKnown(name)
      return await this.#change(name, () => this.#unloaded.add(name))
    })
    await ended()
  }

  /**
   * Puts a model into service again, or reads its folder anew; a pin stays. Where no version of the model was served before,
   * the newest one that can be loaded is enough.
   */
  async load(name: string): Promise<Switched> {
    const ended = await this.#exclusive(async () => {
      await this.#rescan(true)
      this.#requireKnown(name)
      return this.#change(name, () => this.#revive(name))
    })
    return await ended()
  }

  #toPolicy(name: string): void {
    this.#requireKnown(name)
    this.#pins.delete(name)
    this.#revive(name)
  }

  /** Puts a model into service again, and lets its failed versions be tried again. */
  #revive(name: string): void {
    this.#unloaded.delete(name)
    const pin = this.#pins.get(name)
    for (const { path } of [...(this.#settled.get(name) ?? []), ...(pin === undefined ? [] : [pin])]) this.#attempts.forgive(path)
  }

  #requireKnown(name: string): void {
    if (this.#settled.has(name) || this.#pins.has(name)) return
    const names = [...this.#settled.keys()]
    const near = closest(name, names)
    throw new SlipwayError(
      'SLW_MODEL_NOT_FOUND',
      `no model "${name}" is known${near === undefined ? `; known: ${names.slice(0, 10).join(', ')}` : `; did you mean "${near}"?`}`,
    )
  }

  async #pinPath(name: string, given: string): Promise<VariantSpec> {
    this.#requireKnown(name)
    const path = await this.#insideRoots(given)
    const found = await findPackages({ path, name, versions: 'latest' })
    const [location] = found
    if (location === undefined || found.length > 1)
      throw new SlipwayError('SLW_MODEL_INVALID', `${given} holds ${found.length} models; name the folder or file of one`)
    const own = this.#settled.get(name)?.find((version) => version.path === location.path)
    // A version of the model's own folder keeps its number; a bare file or another folder takes its own name as version.
    const version = own?.version ?? basename(location.path, '.onnx')
    const serving = this.#settled.get(name)?.[0]?.source.serving
    return {
      name: `v${version}`,
      model: name,
      version,
      path: location.path,
      fingerprint: await fingerprintOf(location.path),
      ...(serving !== undefined && { serving }),
    }
  }

  #pinVersion(name: string, version: string): VariantSpec {
    this.#requireKnown(name)
    const all = this.#settled.get(name) ?? []
    const found = all.find((candidate) => candidate.version === version)
    if (found !== undefined) return specOf(found)
    throw new SlipwayError(
      'SLW_MODEL_NOT_FOUND',
      `model "${name}" has no version "${version}"; found: ${all.map((candidate) => candidate.version).join(', ')}, or "policy"`,
    )
  }

  /** The real path of a file or folder inside a served folder or a model root, links followed. */
  async #insideRoots(given: string): Promise<string> {
    const { sources, modelRoots } = this.#options
    const folders = sources.map((source) => (source.path.endsWith('.onnx') ? dirname(source.path) : source.path))
    const roots = [...folders, ...modelRoots]
    const path = await realpath(resolve(given)).catch(() => undefined)
    const tried = path ?? resolve(given)
    for (const root of roots) {
      const real = await realpath(root).catch(() => resolve(root))
      if (within(real, tried)) {
        if (path === undefined) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${given}: no such file or folder`)
        return path
      }
    }
    throw new SlipwayError(
      'SLW_PATH_REFUSED',
      `${given} is outside the served folders (${roots.join(', ')}); start the server with --model-root to allow another`,
    )
  }

  /**
   * Makes one requested change part of the desired state; it is taken back when its model cannot be served.
   * @returns a function that waits until the replaced version has ended, which holds up no other change
   */
  async #change(name: string, wish: () => void): Promise<() => Promise<Switched>> {
    const pin = this.#pins.get(name)
    const unloaded = this.#unloaded.has(name)
    const before = this.#appliedTo(name)
    const wasServed = this.#servesAny(before)
    const takeBack = (): void => {
      if (pin === undefined) this.#pins.delete(name)
      else this.#pins.set(name, pin)
      if (unloaded) this.#unloaded.add(name)
      else this.#unloaded.delete(name)
    }
    wish()
    const applied: Applied[] = []
    try {
      const first = await this.#apply()
      applied.push(first)
      const failure = first.failures.find((failed) => failed.endpoint === name && failed.weighted)
      if (failure !== undefined && wasServed) throw failure.error
      if (this.#isChanged()) applied.push(await this.#reconcile())
      if (failure !== undefined && !this.#servesAny(this.#appliedTo(name))) throw failure.error
    } catch (error) {
      takeBack()
      if (this.#isChanged()) await this.#reconcile().catch((second: unknown) => this.#options.log.error({}, messageOf(second)))
      throw error
    }
    const now = this.documents().find((document) => document.metadata.name === name)
    const switched = { model: name, old: weighted(before), new: weighted(now), pinned: this.#pins.has(name) }
    return async () => {
      const switches = (await Promise.all(applied.map((one) => one.switches))).flat()
      const report = switches.findLast((candidate) => candidate.endpoint === name) ?? SERVED_NOTHING
      const { loadMs, warmUpMs, switchMs, drainMs } = report
      return { ...switched, times: { loadMs, warmUpMs, switchMs, drainMs } }
    }
  }

  /** Applies the desired state; a version that cannot be loaded gives way to the next older one. */
  async #reconcile(): Promise<Applied> {
    const all: Applied[] = []
    do all.push(await this.#apply())
    while (this.#isChanged())
    const switches = Promise.all(all.map((applied) => applied.switches)).then((reports) => reports.flat())
    // Errors need no handling where nobody waits for the switches: the reconciler logs them.
    switches.catch(() => {})
    return { failures: all.flatMap((applied) => applied.failures), switches }
  }

  async #apply(): Promise<Applied> {
    const documents = this.documents()
    const applied = await this.#options.apply(documents)
    this.#applied = documents
    this.#attempts.note(documents, applied.failures)
    return applied
  }

  /** Whether the desired state differs from the one that was last applied. */
  #isChanged(): boolean {
    return JSON.stringify(this.documents()) !== JSON.stringify(this.#applied)
  }

  #appliedTo(name: string): DesiredEndpoint | undefined {
    return this.#applied.find((document) => document.metadata.name === name)
  }

  #servesAny(document: DesiredEndpoint | undefined): boolean {
    return document?.spec.variants.some((spec) => this.#attempts.isGood(spec)) ?? false
  }

  /** Scans the folders every `intervalMs` and serves the versions that the policy then chooses. */
  poll(intervalMs: number): void {
    const { clock, log } = this.#options
    if (this.#closed) return
    this.#cancelPoll = clock.after(intervalMs, () => {
      this.rescan()
        .catch((error: unknown) => log.error({}, `the folders of models could not be read: ${messageOf(error)}`))
        .finally(() => this.poll(intervalMs))
        .catch(() => {})
    })
  }

  /** Scans the folders once. `trustNow`: versions count as complete at once, also if they were not there before. */
  async rescan(trustNow = false): Promise<void> {
    const applied = await this.#exclusive(async () => ((await this.#rescan(trustNow)) ? await this.#reconcile() : undefined))
    await applied?.switches
  }

  /** @returns whether there is something to apply */
  async #rescan(trustNow: boolean): Promise<boolean> {
    const seen = new Map<string, string>()
    const missing = new Set<string>()
    for (const source of this.#options.sources) {
      let found: readonly FoundVersion[]
      try {
        found = await this.#scan(source)
        this.#warned.delete(source.path)
      } catch (error) {
        // A folder that cannot be read, or is empty for now, is no reason to stop serving its models.
        this.#warn(source.path, `${messageOf(error)}; what is loaded goes on being served`)
        continue
      }
      for (const version of found) seen.set(version.path, version.fingerprint)
      for (const known of this.#settled.values())
        for (const version of known) if (version.source === source && !seen.has(version.path)) missing.add(version.path)
      // A new version must be seen twice; likewise a removed one must be missing twice.
      const gone = trustNow ? missing : missing.intersection(this.#missing)
      const byName = Map.groupBy(found, (version) => version.name)
      for (const name of new Set([...this.#settled.keys(), ...byName.keys()])) {
        const owner = this.#settled.get(name)?.[0]?.source ?? source
        if (owner === source) this.#settle(name, byName.get(name) ?? [], { trustNow, gone })
        else if (byName.has(name)) this.#warn(name, `two models are named "${name}"; the one of ${source.path} is not served`)
      }
    }
    this.#missing = missing
    this.#previous = seen
    this.#attempts.keepOnly([...[...this.#settled.values()].flat(), ...this.#pins.values()])
    if (this.#options.serves !== undefined) this.#attempts.review(this.#options.serves)
    return this.#isChanged() || this.#attempts.isDue(this.#applied)
  }

  /** Takes over versions that have not changed since the previous scan; those that still change stay as they were known. */
  #settle(name: string, found: readonly FoundVersion[], how: { readonly trustNow: boolean; readonly gone: ReadonlySet<string> }): void {
    const known = new Map(this.#settled.get(name)?.map((version) => [version.path, version]))
    const there = new Set(found.map((version) => version.path))
    const next = [...known.values()].filter((version) => !there.has(version.path) && !how.gone.has(version.path))
    for (const version of found) {
      const still = how.trustNow || this.#previous.get(version.path) === version.fingerprint
      const before = known.get(version.path)
      if (still) next.push(version)
      else if (before !== undefined) next.push(before)
    }
    if (next.length > 0) this.#settled.set(name, next)
    else this.#settled.delete(name)
  }

  /** Entries of the folders that are not served, and why. */
  skipped(): SkippedEntry[] {
    return [...this.#skipped.values()].flat()
  }

  async #scan(source: ModelSource): Promise<readonly FoundVersion[]> {
    const { kind, versions, skipped } = await scan(source, this.#kinds.get(source))
    this.#kinds.set(source, kind)
    const before = this.#skipped.get(source) ?? []
    this.#skipped.set(source, skipped)
    for (const { path } of before) if (!skipped.some((entry) => entry.path === path)) this.#warned.delete(path)
    for (const { path, reason } of skipped) this.#warn(path, `not served: ${reason}`)
    return versions
  }

  #warn(key: string, message: string): void {
    if (this.#warned.has(key)) return
    this.#warned.add(key)
    this.#options.log.warn({ path: key }, message)
  }

  /** One change at a time: each sees the state that the one before it left. */
  #exclusive<T>(act: () => Promise<T>): Promise<T> {
    return this.#turns.take(() => {
      this.#attempts.begin()
      return act()
    })
  }

  /** Stops the polling, and resolves when the change in progress has ended. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancelPoll?.()
    await this.#turns.idle()
  }
}

function weighted(document: DesiredEndpoint | undefined): VariantSpec[] {
  return document?.spec.variants.filter(({ name }) => weightOf(document.routing, name) > 0) ?? []
}

function specOf(version: FoundVersion): VariantSpec {
  const { serving } = version.source
  return {
    name: `v${version.version}`,
    model: version.name,
    version: version.version,
    path: version.path,
    fingerprint: version.fingerprint,
    ...(serving !== undefined && { serving }),
  }
}

function within(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way === '' || (!way.startsWith('..') && !isAbsolute(way))
}
