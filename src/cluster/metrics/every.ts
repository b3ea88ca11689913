import { setTimeout as pause } from 'node:timers/promises'

/**
 * Does something again and again, one after the other, until it is disposed of; it begins at once.
 * @param act never rejects but by `signal`
 * @param intervalMs from one beginning to the next
 */
export function every(intervalMs: number, act: (signal: AbortSignal) => Promise<void>): AsyncDisposable {
  const ended = new AbortController()
  const { signal } = ended
  const running = (async () => {
    while (!signal.aborted) {
      const begun = performance.now()
      await act(signal)
      await pause(Math.max(0, begun + intervalMs - performance.now()), undefined, { signal }).catch(() => {})
    }
  })()
  return {
    async [Symbol.asyncDispose]() {
      ended.abort()
      await running.catch(() => {})
    },
  }
}
