import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'

/**
 * Does something again and again, one time after the other. What goes wrong is logged, and tried again the next time.
 * @returns ends it, and waits for the turn that goes on
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
