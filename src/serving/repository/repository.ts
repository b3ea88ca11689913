import { realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { closest } from '../../contract/schema.ts'
import { orLate } from '../../core/clock.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { Turns } from '../../core/turns.ts'
import { fingerprintOf } from '../../model/fingerprint.ts'
import { mayBeModel, nameWithoutExtension } from '../../model/formats/formats.ts'
import { chooseVersions, findPackages } from '../../model/layout.ts'
import { together } from '../reconciler.ts'
import { RepositoryModel, specOf } from './repository-model.ts'
import { scan } from './scan.ts'
import type { DesiredEndpoint, VariantSpec } from '../../contract/desired-endpoint.ts'
import type { LayoutKind, SkippedEntry } from '../../model/layout.ts'
import type { FailedLoad } from '../reconciler.ts'
import type { RepositoryModelOptions, Switched } from './repository-model.ts'
import type { FoundVersion, ModelSource } from './scan.ts'
import type { ServingOptions } from '../../contract/serving-options.ts'

export interface RepositoryOptions extends RepositoryModelOptions {
  readonly sources: readonly ModelSource[]
  /** Further folders that a switch may take models from. */
  readonly modelRoots: readonly string[]
  /** Whether the version loaded from a path still answers. Default: it does. */
  readonly serves?: (endpoint: string, path: string) => boolean
}

/** Target of a switch: a path, a version of the model's own folder, or `policy`. */
export type SwitchTo = { readonly path: string } | { readonly version: string }

/** A model that is added while the server runs. */
export interface AddModel {
  readonly name: string
  /** File or folder of one model, inside a served folder or a model root. */
  readonly path: string
  /** See `DesiredEndpoint`. Default: false. */
  readonly mustFit?: boolean
  readonly serving?: ServingOptions
}

/** A model that the repository knows, whether it is served or not. */
export interface KnownModel {
  readonly name: string
  readonly versions: readonly string[]
  /** The path that its versions were found at, as it was given; undefined where they come from elsewhere. */
  readonly path: string | undefined
  /** The path that the model was switched to, until the policy decides again. */
  readonly pinned: string | undefined
  /** Whether the model was unloaded on request. */
  readonly unloaded: boolean
}

/** How long changes in progress are waited for at the end. */
const CLOSE_MS = 2000

/**
 * Makes the desired state from files and requests: the versions that were found, those that the policy chooses, the one
 * pinned by a switch, the models that were unloaded. Keeps all of it in memory: after a restart the policy decides. Scans come one after
 * the other; models do not wait for one another.
 */
export class Repository {
  readonly #options: RepositoryOptions
  readonly #models = new Map<string, RepositoryModel>()
  /** Sources of the configuration, and those that were added since. */
  readonly #sources: ModelSource[]
  /** By name, the source of a model that was added. */
  readonly #added = new Map<string, ModelSource>()
  /** Fingerprints of the previous scan, by path: a version that is the same in two scans counts as complete. */
  #previous = new Map<string, string>()
  /** Paths of versions that the last scan did not find although their source could be read. */
  #missing = new Set<string>()
  readonly #warned = new Set<string>()
  /** What each source was found to be at the start, which no later entry changes. */
  readonly #kinds = new Map<ModelSource, LayoutKind>()
  /** Entries that the last scan of each source passed over. */
  readonly #skipped = new Map<ModelSource, readonly SkippedEntry[]>()
  readonly #scans = new Turns()
  #cancelPoll: (() => void) | undefined
  #closed = false

  constructor(options: RepositoryOptions) {
    this.#options = options
    this.#sources = [...options.sources]
  }

  /** Serves the versions that were read, as the policy chooses; where one cannot be loaded, the next older one. */
  async start(): Promise<readonly FailedLoad[]> {
    const models = this.#known()
    return together(await Promise.all(models.map((model) => model.exclusive(() => model.reconcile())))).failures
  }

  /** Reads the sources, and changes nothing yet. @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID, SLW_CONFIG_INVALID */
  async read(): Promise<DesiredEndpoint[]> {
    const { versions } = this.#options
    const owner = new Map<string, string>()
    for (const source of this.#sources) {
      const found = await this.#scan(source)
      for (const [name, all] of Map.groupBy(found, (version) => version.name)) {
        const other = owner.get(name)
        if (other !== undefined)
          throw new SlipwayError(
            'SLW_CONFIG_INVALID',
            `two models are named "${name}": ${other} and ${source.path}; name one with NAME=PATH`,
          )
        owner.set(name, source.path)
        const policy = versions ?? all.at(-1)?.versions ?? 'latest'
        if (chooseVersions(all, policy, name, versions === undefined).length === 0)
          this.#warn(all[0]!.path, `not served: the version_policy of "${name}" lists no version that is there`)
        this.#model(name).settled = all
      }
      for (const version of found) this.#previous.set(version.path, version.fingerprint)
    }
    return this.documents()
  }

  /** The present desired state. */
  documents(): DesiredEndpoint[] {
    return this.#known()
      .map((model) => model.document())
      .filter((document) => document !== undefined)
  }

  #model(name: string): RepositoryModel {
    const model = this.#models.get(name) ?? new RepositoryModel(name, this.#options)
    this.#models.set(name, model)
    return model
  }

  #known(): RepositoryModel[] {
    return [...this.#models.values()].filter(({ known }) => known)
  }

  models(): KnownModel[] {
    return this.#known().map(({ name, settled, pin, unloaded }) => ({
      name,
      versions: settled.map(({ version }) => version),
      path: settled[0]?.source.path,
      pinned: pin?.path,
      unloaded,
    }))
  }

  /**
   * Serves another version of a model and keeps it, whatever the folder says, until it is switched to `policy`. Resolves
   * when the new one serves and the old one has ended; when the new one cannot be served, the old one goes on.
   * @throws SLW_MODEL_NOT_FOUND, SLW_PATH_REFUSED, SLW_PATH_NOT_FOUND, and errors of the new version
   */
  async switchTo(name: string, target: SwitchTo): Promise<Switched> {
    // The folder counts as it is now, and not as it was at the last scan.
    if ('version' in target && target.version === 'policy') await this.#scanNow(name)
    const model = this.#requireKnown(name)
    const ended = await model.exclusive(async () => {
      if ('version' in target && target.version === 'policy')
        return await model.change(() => {
          model.pin = undefined
          model.revive()
        })
      const pin = 'path' in target ? await this.#pinPath(model, target.path) : this.#pinVersion(model, target.version)
      return await model.change(() => {
        model.pin = pin
        model.unloaded = false
        model.attempts.forgive(pin.path)
      })
    })
    return await ended()
  }

  /**
   * Serves a model in another way until the server ends: what is given goes over what was said before. It is loaded anew beside the one
   * that serves, which goes on where that cannot be done.
   * @throws SLW_MODEL_NOT_FOUND, and errors of the load
   */
  async setServing(name: string, serving: ServingOptions): Promise<Switched> {
    const model = this.#requireKnown(name)
    const ended = await model.exclusive(() => model.change(() => (model.serving = { ...model.serving, ...serving })))
    return await ended()
  }

  /** Takes a model out of service. */
  async unload(name: string): Promise<void> {
    const model = this.#requireKnown(name)
    const ended = await model.exclusive(() => model.change(() => (model.unloaded = true)))
    await ended()
  }

  /**
   * Puts a model into service again, or reads its folder anew; a pin stays. Where no version of the model was served before,
   * the newest one that can be loaded is enough.
   */
  async load(name: string): Promise<Switched> {
    await this.#scanNow(name)
    const model = this.#requireKnown(name)
    const ended = await model.exclusive(() => model.change(() => model.revive()))
    return await ended()
  }

  /**
   * Serves a model that was not known, until it is removed or the server ends. A model that cannot be served is not known afterwards.
   * One of the configured folders that was removed is served again, if that is the path.
   * @throws SLW_ALREADY_EXISTS, SLW_PATH_REFUSED, SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID, SLW_CONFIG_INVALID, and errors of the model
   */
  async add({ name, path, serving, mustFit = false }: AddModel): Promise<Switched> {
    const source: ModelSource = { path: await this.#insideRoots(path), name, serving }
    const unloaded = await this.#unloadedAt(name, source.path)
    if (unloaded !== undefined) {
      const served = await unloaded.exclusive(() =>
        unloaded.change(() => {
          unloaded.revive()
          unloaded.mustFit = mustFit
          if (serving !== undefined) unloaded.serving = { ...unloaded.serving, ...serving }
        }),
      )
      return await served()
    }
    await this.#scans.take(async () => {
      if (this.#models.get(name)?.known === true) throw new SlipwayError('SLW_ALREADY_EXISTS', `there is a model "${name}" already`)
      const found = await this.#scan(source).catch((error: unknown) => {
        this.#forget(source)
        throw error
      })
      this.#sources.push(source)
      this.#added.set(name, source)
      const model = this.#model(name)
      model.mustFit = mustFit
      model.settled = found
      for (const version of found) this.#previous.set(version.path, version.fingerprint)
    })
    const model = this.#requireKnown(name)
    try {
      const ended = await model.exclusive(() => model.change(() => model.revive()))
      return await ended()
    } catch (error) {
      await this.remove(name)
      throw error
    }
  }

  /**
   * Ends a model that was added, and resolves when its memory is free. One of the configured folders is unloaded, and stays known.
   * @throws SLW_MODEL_NOT_FOUND
   */
  async remove(name: string): Promise<void> {
    const model = this.#requireKnown(name)
    const source = this.#added.get(name)
    if (source === undefined) return await this.unload(name)
    const ended = await model.exclusive(async () => {
      // Another call may have ended it while this one waited, and what has the name since then is not what was to end.
      if (this.#added.get(name) !== source) return undefined
      await this.#scans.take(() => {
        this.#forget(source)
        this.#added.delete(name)
        return Promise.resolve()
      })
      return await model.change(() => {
        model.settled = []
        model.pin = undefined
        model.serving = undefined
        model.mustFit = false
      })
    })
    await ended?.()
    if (model.over && this.#models.get(name) === model) this.#models.delete(name)
  }

  /** A model that was unloaded on request and has all of its versions at a path. */
  async #unloadedAt(name: string, path: string): Promise<RepositoryModel | undefined> {
    const model = this.#models.get(name)
    if (model === undefined || !model.unloaded || this.#added.has(name)) return undefined
    const versions = await Promise.all(model.settled.map((version) => realpath(version.path).catch(() => version.path)))
    return versions.every((version) => within(path, version)) ? model : undefined
  }

  #forget(source: ModelSource): void {
    const index = this.#sources.indexOf(source)
    if (index >= 0) this.#sources.splice(index, 1)
    this.#kinds.delete(source)
    this.#skipped.delete(source)
  }

  #requireKnown(name: string): RepositoryModel {
    const model = this.#models.get(name)
    if (model?.known === true) return model
    const names = this.#known().map((known) => known.name)
    const near = closest(name, names)
    throw new SlipwayError(
      'SLW_MODEL_NOT_FOUND',
      `no model "${name}" is known${near === undefined ? `; known: ${names.slice(0, 10).join(', ')}` : `; did you mean "${near}"?`}`,
    )
  }

  async #pinPath({ name, settled }: RepositoryModel, given: string): Promise<VariantSpec> {
    const path = await this.#insideRoots(given)
    const found = await findPackages({ path, name, versions: 'latest' })
    const [location] = found
    if (location === undefined || found.length > 1)
      throw new SlipwayError('SLW_MODEL_INVALID', `${given} holds ${found.length} models; name the folder or file of one`)
    const own = settled.find((version) => version.path === location.path)
    // A version of the model's own folder keeps its number; a bare file or another folder takes its own name as version.
    const version = own?.version ?? nameWithoutExtension(location.path)
    const serving = settled[0]?.source.serving
    return {
      name: `v${version}`,
      model: name,
      version,
      path: location.path,
      fingerprint: await fingerprintOf(location.path),
      ...(location.parts !== undefined && { parts: [...location.parts] }),
      ...(serving !== undefined && { serving }),
    }
  }

  #pinVersion({ name, settled }: RepositoryModel, version: string): VariantSpec {
    const found = settled.find((candidate) => candidate.version === version)
    if (found !== undefined) return specOf(found)
    throw new SlipwayError(
      'SLW_MODEL_NOT_FOUND',
      `model "${name}" has no version "${version}"; found: ${settled.map((candidate) => candidate.version).join(', ')}, or "policy"`,
    )
  }

  /**
   * The real path of a file or folder inside a served folder or a model root, links followed. A relative one is looked for in the working
   * directory, then in these.
   */
  async #insideRoots(given: string): Promise<string> {
    const { modelRoots } = this.#options
    const folders = this.#sources.map((source) => (mayBeModel(source.path) ? dirname(source.path) : source.path))
    const roots = [...folders, ...modelRoots]
    const real = await Promise.all(roots.map((root) => realpath(root).catch(() => resolve(root))))
    let allowed = false
    for (const candidate of isAbsolute(given) ? [given] : [given, ...roots.map((root) => join(root, given))]) {
      const path = await realpath(resolve(candidate)).catch(() => undefined)
      const inside = real.some((root) => within(root, path ?? resolve(candidate)))
      if (inside && path !== undefined) return path
      allowed ||= inside
    }
    if (allowed) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${given}: no such file or folder`)
    throw new SlipwayError(
      'SLW_PATH_REFUSED',
      `${given} is outside the served folders (${roots.join(', ')}); start the server with --model-root to allow another`,
    )
  }

  /** Scans the folders every `intervalMs` and serves the versions that the policy then chooses. */
  poll(intervalMs: number): void {
    const { clock, log } = this.#options
    if (this.#closed) return
    this.#cancelPoll = clock.after(intervalMs, () => {
      this.#scans
        .take(() => this.#rescan(false))
        .then(() => this.#follow())
        .catch((error: unknown) => log.error({}, `the folders of models could not be read: ${messageOf(error)}`))
        .finally(() => this.poll(intervalMs))
        .catch(() => {})
    })
  }

  /** Applies what has changed, without a wait. Models that are being changed already take over what has changed at the end of that. */
  #follow(but?: string): void {
    const { log } = this.#options
    for (const model of this.#models.values())
      if (model.name !== but && !model.busy && model.isDue())
        model
          .exclusive(() => model.reconcile())
          .catch((error: unknown) => log.error({ model: model.name }, `its versions could not be changed: ${messageOf(error)}`))
  }

  /** Takes the folders as they are now; what that changes of one model is left to the caller. */
  async #scanNow(but: string): Promise<void> {
    await this.#scans.take(() => this.#rescan(true))
    this.#follow(but)
  }

  /**
   * Scans the folders once, and resolves when what has changed is in use and what it replaced has ended.
   * @param trustNow versions count as complete at once, also if they were not there before
   */
  async rescan(trustNow = false): Promise<void> {
    await this.#scans.take(() => this.#rescan(trustNow))
    const models = [...this.#models.values()]
    const applied = await Promise.all(
      models.map((model) => model.exclusive(() => (model.isDue() ? model.reconcile() : Promise.resolve(undefined)))),
    )
    await together(applied.filter((one) => one !== undefined)).switches
  }

  async #rescan(trustNow: boolean): Promise<void> {
    const seen = new Map<string, string>()
    const missing = new Set<string>()
    for (const source of this.#sources) {
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
      for (const { settled } of this.#models.values())
        for (const version of settled) if (version.source === source && !seen.has(version.path)) missing.add(version.path)
      // A new version must be seen twice; likewise a removed one must be missing twice.
      const gone = trustNow ? missing : missing.intersection(this.#missing)
      const byName = Map.groupBy(found, (version) => version.name)
      for (const name of new Set([...this.#models.keys(), ...byName.keys()])) {
        const owner = this.#models.get(name)?.settled[0]?.source ?? source
        if (owner === source) this.#settle(name, byName.get(name) ?? [], { trustNow, gone })
        else if (byName.has(name)) this.#warn(name, `two models are named "${name}"; the one of ${source.path} is not served`)
      }
    }
    this.#missing = missing
    this.#previous = seen
    for (const [name, model] of this.#models) {
      if (model.over) this.#models.delete(name)
      if (model.busy) continue
      model.attempts.keepOnly([...model.settled, ...(model.pin === undefined ? [] : [model.pin])])
      if (this.#options.serves !== undefined) model.attempts.review(this.#options.serves)
    }
  }

  /** Takes over versions that have not changed since the previous scan; those that still change stay as they were known. */
  #settle(name: string, found: readonly FoundVersion[], how: { readonly trustNow: boolean; readonly gone: ReadonlySet<string> }): void {
    const model = this.#model(name)
    const known = new Map(model.settled.map((version) => [version.path, version]))
    const there = new Set(found.map((version) => version.path))
    const next = [...known.values()].filter((version) => !there.has(version.path) && !how.gone.has(version.path))
    for (const version of found) {
      const still = how.trustNow || this.#previous.get(version.path) === version.fingerprint
      const before = known.get(version.path)
      if (still) next.push(version)
      else if (before !== undefined) next.push(before)
    }
    model.settled = next
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

  /** Stops the polling, and resolves when the changes in progress have ended. One that hangs ends with the data plane. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancelPoll?.()
    await this.#scans.idle()
    const idle = Promise.all([...this.#models.values()].map((model) => model.idle()))
    await orLate(this.#options.clock, CLOSE_MS, idle)
  }
}

function within(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way === '' || (!way.startsWith('..') && !isAbsolute(way))
}
