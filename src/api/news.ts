/** Pause between two looks at the database while somebody waits. */
const LOOK_EVERY_MS = 200

/** Wakes callers that wait for a growing number: one look at the database for all of them, and none while nobody waits. */
export class News {
  readonly #newest: () => Promise<number>
  readonly #everyMs: number
  /** Aborted when there will be no more news: followers must end. */
  readonly ended: AbortSignal
  readonly #waiting = new Set<(last: number) => void>()
  #timer: NodeJS.Timeout | undefined
  #last = -1

  /** @param newest reads the number */
  constructor(newest: () => Promise<number>, ended: AbortSignal, everyMs: number = LOOK_EVERY_MS) {
    this.#newest = newest
    this.ended = ended
    this.#everyMs = everyMs
    ended.addEventListener('abort', () => clearTimeout(this.#timer), { once: true })
  }

  /** Resolves with the newest number once it is larger than `sequence`, or with `sequence` when the signal is aborted. */
  async after(sequence: number, signal: AbortSignal): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>()
    const wake = (last: number): void => {
      if (last > sequence) resolve(last)
    }
    const stop = (): void => resolve(sequence)
    this.#waiting.add(wake)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    wake(this.#last)
    this.#timer ??= setTimeout(() => void this.#look(), this.#everyMs).unref()
    try {
      return await promise
    } finally {
      this.#waiting.delete(wake)
      signal.removeEventListener('abort', stop)
    }
  }

  async #look(): Promise<void> {
    this.#timer = undefined
    try {
      this.#last = await this.#newest()
      for (const wake of this.#waiting) wake(this.#last)
    } catch {
      // The database will be back; callers keep waiting.
    }
    if (this.#waiting.size > 0) this.#timer ??= setTimeout(() => void this.#look(), this.#everyMs).unref()
  }
}
