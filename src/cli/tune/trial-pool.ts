import { closedLoop } from '../server/load-generator.ts'
import { keyOf } from './candidates.ts'
import { openTrial } from './trial.ts'
import type { Candidate } from './candidates.ts'
import type { Trial, TrialOptions } from './trial.ts'

/** Clients of the warm-up: enough that every instance runs and that requests share runs. */
const WARM_UP_CLIENTS = 16
/** Free memory that one more server needs to start, as a multiple of the largest server so far. */
const SPARE = 2

export type TrialPoolOptions = Omit<TrialOptions, 'server'> & {
  /** Options of the server for a candidate. */
  readonly server: (candidate: Candidate) => TrialOptions['server']
}

/**
 * The open servers. Servers that are measured again stay open while memory suffices, so that measurements can be
 * interleaved; idle ones take no CPU.
 */
export class TrialPool implements AsyncDisposable {
  readonly #options: TrialPoolOptions
  /** Least recently used first. */
  readonly #open = new Map<string, Trial>()
  #largestBytes = 0
  /** Longest time so far from the start of a process to its address. */
  startMs = 0

  constructor(options: TrialPoolOptions) {
    this.#options = options
  }

  /** The open server of a candidate, or a new one after a warm-up of `warmUpSeconds`. */
  async acquire(candidate: Candidate, warmUpSeconds: number): Promise<Trial> {
    const key = keyOf(candidate)
    const found = this.#open.get(key)
    if (found !== undefined) {
      this.#open.delete(key)
      this.#open.set(key, found)
      return found
    }
    await this.#makeRoom()
    const startedAt = performance.now()
    const { server, ...rest } = this.#options
    const trial = await openTrial({ ...rest, server: server(candidate) })
    this.#open.set(key, trial)
    this.startMs = Math.max(this.startMs, performance.now() - startedAt)
    await closedLoop(trial.shoot, WARM_UP_CLIENTS, warmUpSeconds, rest.signal)
    this.#largestBytes = Math.max(this.#largestBytes, trial.memoryBytes() ?? 0)
    return trial
  }

  async #makeRoom(): Promise<void> {
    for (const [key, trial] of this.#open) {
      if (process.availableMemory() > SPARE * this.#largestBytes) return
      this.#open.delete(key)
      await trial[Symbol.asyncDispose]()
    }
  }

  /** Ends all servers but those of these candidates. */
  async keepOnly(candidates: readonly Candidate[]): Promise<void> {
    const kept = new Set(candidates.map(keyOf))
    for (const [key, trial] of this.#open) {
      if (kept.has(key)) continue
      this.#open.delete(key)
      await trial[Symbol.asyncDispose]()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.keepOnly([])
  }
}
