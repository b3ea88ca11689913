import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { addingModel } from '../adding-models.ts'

export const MODELS = 50
const WEIGHTS_MB = 8
/** Versions of a model that may be told apart by what they add. */
const VERSIONS_MAX = 1000

/** A stretch of time in which something held; epoch milliseconds. */
export interface Span {
  readonly from: number
  until: number
}

/** Why a question to a model may go unanswered for a while. */
export type Trouble = 'burst' | 'unload' | 'kill' | 'removal'

/** One model of the repository, and everything that was done to it. */
export class SoakModel {
  readonly index: number
  readonly name: string
  readonly isolation: 'thread' | 'process'
  readonly folder: string
  /** Whole versions in the folder, oldest first. */
  versions: number[] = []
  pinned: number | undefined
  newest = 0
  /** One change at a time. */
  busy = false
  readonly #root: string
  /** When each version may have answered. */
  readonly #possible = new Map<number, Span[]>()
  readonly #troubles = new Map<Trouble, Span[]>()

  constructor(root: string, index: number) {
    this.#root = root
    this.index = index
    this.name = `m${String(index).padStart(2, '0')}`
    this.isolation = index % 5 === 3 ? 'process' : 'thread'
    this.folder = join(root, 'models', this.name)
  }

  adds(version: number): number {
    return this.index * VERSIONS_MAX + version
  }

  async create(): Promise<void> {
    await mkdir(this.folder, { recursive: true })
    const serving = [
      'instances: 1',
      `isolation: ${this.isolation}`,
      ...(this.index % 7 === 0 ? ['cacheMb: 2', 'cacheTtlMs: 3000'] : []),
      ...(this.index < 3 ? ['queueRequests: 40'] : []),
      ...(this.index === 1 ? ['latencyGoalMs: 400'] : []),
    ]
    await writeFile(join(this.folder, 'slipway.yaml'), `serving: { ${serving.join(', ')} }\n`)
    this.newest = 1
    await this.#put(1, addingModel(this.adds(1), WEIGHTS_MB))
    this.versions = [1]
    this.allow(1)
  }

  /** What the policy serves, or the pin. */
  get wanted(): number {
    return this.pinned ?? this.versions.at(-1) ?? 0
  }

  /** A new version appears whole, as a deployment makes it. */
  async addVersion(): Promise<number> {
    const version = ++this.newest
    const bytes = addingModel(this.adds(version), WEIGHTS_MB)
    if (this.pinned === undefined) this.allow(version)
    await this.#put(version, bytes)
    this.versions.push(version)
    return version
  }

  async addBroken(bytes: Uint8Array | string): Promise<number> {
    const version = ++this.newest
    await this.#put(version, bytes)
    return version
  }

  async #put(version: number, bytes: Uint8Array | string): Promise<void> {
    const made = await mkdtemp(join(this.#root, 'making-'))
    await writeFile(join(made, 'model.onnx'), bytes)
    await rename(made, join(this.folder, String(version)))
  }

  async removeVersion(version: number): Promise<void> {
    this.versions = this.versions.filter((other) => other !== version)
    const away = join(this.#root, `gone-${this.name}-${version}`)
    await rename(join(this.folder, String(version)), away)
    await rm(away, { recursive: true })
  }

  /** From now on the version may answer. */
  allow(version: number): void {
    const spans = this.#possible.get(version) ?? []
    if (spans.at(-1)?.until !== Number.POSITIVE_INFINITY) spans.push({ from: Date.now(), until: Number.POSITIVE_INFINITY })
    this.#possible.set(version, spans)
  }

  /** Questions asked from now on are answered by this version and no other. */
  onlyPossible(version: number): void {
    for (const [other, spans] of this.#possible) {
      const last = spans.at(-1)
      if (other !== version && last?.until === Number.POSITIVE_INFINITY) last.until = Date.now()
    }
  }

  mayAnswer(version: number, asked: Span): boolean {
    return overlaps(this.#possible.get(version), asked)
  }

  /** @returns a function that tells that it is over */
  trouble(kind: Trouble): () => void {
    const span = { from: Date.now(), until: Number.POSITIVE_INFINITY }
    this.#troubles.set(kind, [...(this.#troubles.get(kind) ?? []), span])
    return () => {
      span.until = Date.now()
    }
  }

  inTrouble(kind: Trouble, asked: Span): boolean {
    return overlaps(this.#troubles.get(kind), asked)
  }
}

function overlaps(spans: readonly Span[] | undefined, { from, until }: Span): boolean {
  return spans?.some((span) => span.from <= until && span.until >= from) === true
}

export async function createFleet(root: string): Promise<readonly SoakModel[]> {
  const fleet = Array.from({ length: MODELS }, (_, index) => new SoakModel(root, index))
  for (const model of fleet) await model.create()
  return fleet
}
