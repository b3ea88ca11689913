import { everythingTo, weightOf } from '../../contract/routing.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { messageOf } from '../../core/errors.ts'
import { Turns } from '../../core/turns.ts'
import { chooseVersions } from '../../model/layout.ts'
import { newReceiptKey } from '../../security/receipts.ts'
import { together } from '../reconciler.ts'
import { Attempts } from './attempts.ts'
import type { DesiredEndpoint, VariantSpec } from '../../contract/desired-endpoint.ts'
import type { ServingOptions } from '../../contract/serving-options.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { VersionPolicy } from '../../model/layout.ts'
import type { Applied, SwitchReport } from '../reconciler.ts'
import type { FoundVersion } from './scan.ts'

export interface RepositoryModelOptions {
  /** Undefined: as the model's config.pbtxt says, else the latest. */
  readonly versions: VersionPolicy | undefined
  /** Changes what is served; undefined takes the model out of service. */
  readonly change: (name: string, desired: DesiredEndpoint | undefined) => Promise<Applied>
  readonly clock: Clock
  readonly log: Logger
}

export interface Switched {
  readonly model: string
  readonly old: readonly VariantSpec[]
  readonly new: readonly VariantSpec[]
  readonly pinned: boolean
  readonly times: Pick<SwitchReport, 'loadMs' | 'warmUpMs' | 'switchMs' | 'drainMs'>
}

const SERVED_NOTHING: Switched['times'] = { loadMs: 0, warmUpMs: 0, switchMs: 0, drainMs: 0 }

/** One model of a repository: its versions, which of them are wanted, and how they come into service. It waits for no other model. */
export class RepositoryModel {
  readonly name: string
  readonly attempts: Attempts
  readonly #options: RepositoryModelOptions
  readonly #turns = new Turns()
  readonly #receiptKeys = [newReceiptKey()]
  /** Versions that are known to be complete. */
  settled: readonly FoundVersion[] = []
  /** Set by a switch, until the policy decides again. */
  pin: VariantSpec | undefined
  /** Whether a version that does not fit beside what is loaded counts as one that cannot be loaded. */
  mustFit = false
  /** Whether the model was unloaded on request. */
  unloaded = false
  /** How it is served, where somebody changed that while the server runs: over what its source says. */
  serving: ServingOptions | undefined
  /** The desired state that was last applied. */
  #applied: DesiredEndpoint | undefined
  /** Actions that run or wait. */
  #acting = 0

  constructor(name: string, options: RepositoryModelOptions) {
    this.name = name
    this.#options = options
    this.attempts = new Attempts(options.clock)
  }

  /** Whether there is such a model. */
  get known(): boolean {
    return this.settled.length > 0 || this.pin !== undefined
  }

  /** Whether nothing is left of it. */
  get over(): boolean {
    return !this.known && !this.busy && this.#applied === undefined
  }

  get busy(): boolean {
    return this.#acting > 0
  }

  /** The present desired state; undefined where it is not to be served. */
  document(): DesiredEndpoint | undefined {
    if (!this.known || this.unloaded) return undefined
    const variants = this.#variants().map((spec) =>
      this.serving === undefined ? spec : { ...spec, serving: { ...spec.serving, ...this.serving } },
    )
    // The version that requests go to comes last.
    const newest = variants.at(-1)
    if (newest === undefined) return undefined
    return {
      apiVersion: API_VERSION,
      kind: 'Endpoint',
      metadata: { name: this.name, generation: 1 },
      spec: { variants },
      routing: everythingTo(newest.name, this.name),
      // One for all processes of a server, until it ends.
      receiptKeys: this.#receiptKeys,
      ...(this.mustFit && { mustFit: true }),
      wanted: this.#wanted(),
    }
  }

  get #policy(): VersionPolicy {
    return this.#options.versions ?? this.settled.at(-1)?.versions ?? 'latest'
  }

  /** Variants in the order of versions; a pinned one comes last. */
  #variants(): VariantSpec[] {
    const { settled, attempts, pin, name } = this
    const usable = settled.map((version) => attempts.usable(version)).filter((version) => version !== undefined)
    // When none is usable, the first choice stays desired, so that requests get its error.
    const rest = usable.length > 0 ? [] : settled.map((version) => attempts.lastGood(version) ?? version)
    const policy = this.#policy
    const chosen = chooseVersions([...usable, ...rest], policy, name, true)
    const specs = chosen.map(specOf)
    if (pin === undefined) return specs
    if (policy === 'latest') return [pin]
    return [...specs.filter((spec) => spec.version !== pin.version), pin]
  }

  /** Versions that would be served if all could be loaded. */
  #wanted(): string[] {
    const chosen = chooseVersions(this.settled, this.#policy, this.name, true).map(({ version }) => version)
    if (this.pin === undefined) return chosen
    return this.#policy === 'latest' ? [this.pin.version] : [...chosen, this.pin.version]
  }

  /** Puts the model into service again, and lets its failed versions be tried again. */
  revive(): void {
    this.unloaded = false
    for (const { path } of [...this.settled, ...(this.pin === undefined ? [] : [this.pin])]) this.attempts.forgive(path)
  }

  /** One action at a time: each sees the state that the one before it left. */
  async exclusive<T>(act: () => Promise<T>): Promise<T> {
    this.#acting++
    try {
      return await this.#turns.take(() => {
        this.attempts.begin()
        return act()
      })
    } finally {
      this.#acting--
    }
  }

  /** Whether the desired state is to be applied, as it has changed or a version is due for another try. */
  isDue(): boolean {
    this.attempts.begin()
    return this.#isChanged() || (this.#applied !== undefined && this.attempts.isDue([this.#applied]))
  }

  /** Applies the desired state; a version that cannot be loaded gives way to the next older one. */
  async reconcile(): Promise<Applied> {
    const all: Applied[] = []
    do all.push(await this.#apply())
    while (this.#isChanged())
    return together(all)
  }

  /**
   * Makes a requested change part of the desired state; it is taken back when the model cannot be served.
   * @returns a function that waits until the replaced version has ended, which holds up no other change
   */
  async change(wish: () => void): Promise<() => Promise<Switched>> {
    const { pin, unloaded, serving } = this
    const before = this.#applied
    const wasServed = this.#servesAny(before)
    wish()
    const applied: Applied[] = []
    try {
      const first = await this.#apply()
      applied.push(first)
      const failure = first.failures.find((failed) => failed.weighted)
      if (failure !== undefined && wasServed) throw failure.error
      if (this.#isChanged()) applied.push(await this.reconcile())
      if (failure !== undefined && !this.#servesAny(this.#applied)) throw failure.error
    } catch (error) {
      this.pin = pin
      this.unloaded = unloaded
      if (this.serving !== serving) {
        this.serving = serving
        // How it was to be served is to blame, and not what.
        for (const { path } of this.settled) this.attempts.forgive(path)
      }
      if (this.#isChanged()) await this.reconcile().catch((second: unknown) => this.#options.log.error({}, messageOf(second)))
      throw error
    }
    const switched = { model: this.name, old: weighted(before), new: weighted(this.document()), pinned: this.pin !== undefined }
    return async () => {
      const [report = SERVED_NOTHING] = (await together(applied).switches).toReversed()
      const { loadMs, warmUpMs, switchMs, drainMs } = report
      return { ...switched, times: { loadMs, warmUpMs, switchMs, drainMs } }
    }
  }

  async #apply(): Promise<Applied> {
    const document = this.document()
    const applied = await this.#options.change(this.name, document)
    this.#applied = document
    if (document !== undefined) this.attempts.note([document], applied.failures)
    return applied
  }

  /** Whether the desired state differs from the one that was last applied. */
  #isChanged(): boolean {
    return JSON.stringify(this.document()) !== JSON.stringify(this.#applied)
  }

  #servesAny(document: DesiredEndpoint | undefined): boolean {
    return document?.spec.variants.some((spec) => this.attempts.isGood(spec)) ?? false
  }

  /** Resolves when the actions given so far have ended. */
  async idle(): Promise<void> {
    await this.#turns.idle()
  }
}

export function specOf(version: FoundVersion): VariantSpec {
  const { source, parts } = version
  const { serving } = source
  return {
    name: `v${version.version}`,
    model: version.name,
    version: version.version,
    path: version.path,
    fingerprint: version.fingerprint,
    ...(parts !== undefined && { parts: [...parts] }),
    ...(serving !== undefined && { serving }),
  }
}

function weighted(document: DesiredEndpoint | undefined): VariantSpec[] {
  return document?.spec.variants.filter(({ name }) => weightOf(document.routing, name) > 0) ?? []
}
