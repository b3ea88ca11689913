/** Time as an argument, so that tests and simulations can drive it. */
export interface Clock {
  /** Milliseconds on a monotonic scale, with fractions. */
  monotonicMs(): number
  /** Milliseconds since the Unix epoch. */
  epochMs(): number
  /** Calls back once, no earlier than `delayMs` from now; the returned function cancels. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  epochMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
