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
    let timer: NodeJS.Timeout
    const wait = (leftMs: number): void => {
      const ms = Math.min(leftMs, TIMER_MS_MAX)
      timer = setTimeout(() => (leftMs > ms ? wait(leftMs - ms) : callback()), ms)
      timer.unref()
    }
    wait(delayMs)
    return () => clearTimeout(timer)
  },
}

/** Longer timers of Node end at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** Result of `promise`, or `late` when it takes longer than `limitMs`; the promise goes on then. */
export async function orLate<T>(clock: Clock, limitMs: number, promise: Promise<T>): Promise<T | 'late'> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>()
  const cancel = clock.after(limitMs, () => resolve('late'))
  try {
    return await Promise.race([promise, late])
  } finally {
    cancel()
  }
}
