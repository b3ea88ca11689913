import { messageOf, SlipwayError } from './errors.ts'
import type { Clock } from './clock.ts'

/** Time after which half of what somebody has used is forgotten. */
const HALF_LIFE_MS = 600_000
/** Of a use that is forgotten. */
const FORGOTTEN_MS = 1

interface Waiting {
  readonly caller: string
  readonly begin: () => void
}

/** Time that a caller has used, as of a point in time. */
interface Used {
  readonly ms: number
  readonly atMs: number
}

/**
 * Turns that callers share: so many actions at once, one of each caller. The next one is of whoever has used least time lately: somebody
 * who asks for much waits for himself, and not the others for him.
 */
export class FairTurns {
  readonly #clock: Clock
  #free: number
  readonly #acting = new Set<string>()
  readonly #waiting: Waiting[] = []
  readonly #used = new Map<string, Used>()

  constructor(atOnce: number, clock: Clock) {
    this.#free = atOnce
    this.#clock = clock
  }

  /**
   * Acts when it is the caller's turn.
   * @param signal gives up the place of an action that waits; one that has begun must see to it itself
   * @throws SLW_CANCELLED where the signal is aborted before that
   */
  async take<T>(caller: string, act: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#turn(caller, signal)
    const began = this.#clock.monotonicMs()
    try {
      return await act()
    } finally {
      this.#use(caller, this.#clock.monotonicMs() - began)
      this.#acting.delete(caller)
      this.#free++
      this.#next()
    }
  }

  #turn(caller: string, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting: Waiting = {
      caller,
      begin() {
        signal?.removeEventListener('abort', giveUp)
        resolve()
      },
    }
    const giveUp = (): void => {
      const place = this.#waiting.indexOf(waiting)
      if (place >= 0) this.#waiting.splice(place, 1)
      reject(new SlipwayError('SLW_CANCELLED', `it was not begun: ${messageOf(signal?.reason)}`))
    }
    if (signal?.aborted === true) giveUp()
    else {
      signal?.addEventListener('abort', giveUp, { once: true })
      this.#waiting.push(waiting)
      this.#next()
    }
    return promise
  }

  #next(): void {
    while (this.#free > 0) {
      const candidates = this.#waiting.filter(({ caller }) => !this.#acting.has(caller))
      if (candidates.length === 0) return
      const next = candidates.reduce((best, one) => (this.#usedBy(one.caller) < this.#usedBy(best.caller) ? one : best))
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      this.#free--
      this.#acting.add(next.caller)
      next.begin()
    }
  }

  #usedBy(caller: string): number {
    const used = this.#used.get(caller)
    return used === undefined ? 0 : used.ms * 2 ** -((this.#clock.monotonicMs() - used.atMs) / HALF_LIFE_MS)
  }

  #use(caller: string, ms: number): void {
    for (const other of this.#used.keys()) if (this.#usedBy(other) < FORGOTTEN_MS) this.#used.delete(other)
    this.#used.set(caller, { ms: this.#usedBy(caller) + ms, atMs: this.#clock.monotonicMs() })
  }
}
