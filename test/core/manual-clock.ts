import type { Clock } from '../../src/core/clock.ts'

/** Time that stands still until a test moves it. */
export class ManualClock implements Clock {
  #nowMs = 1000
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()

  monotonicMs(): number {
    return this.#nowMs
  }

  epochMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Moves on, calling back whatever is due on the way, in its order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#nowMs = Math.max(this.#nowMs, due.atMs)
      due.callback()
    }
    this.#nowMs = endMs
  }
}
