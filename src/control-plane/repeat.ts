import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'

/**
 * Calls a function again and again, one call after the other. Errors are logged, and the next call tries again.
 * @returns a function that ends the loop, and waits for the call in progress
 */
export function repeat(act: () => Promise<void>, everyMs: number, log: Logger): () => Promise<void> {
  const ended = new AbortController()
  const loop = (async () => {
    while (!ended.signal.aborted) {
      try {
        await act()
      } catch (error) {
        log.error({}, messageOf(error))
      }
      await pause(everyMs, undefined, { signal: ended.signal, ref: false }).catch(() => {})
    }
  })()
  return async () => {
    ended.abort()
    await loop
  }
}
