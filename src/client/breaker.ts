import type { BreakerRules } from './options.ts'

export type BreakerState = 'closed' | 'open' | 'half-open'

/** Leave to send one request, whose end is told to it once. */
export interface Permit {
  succeeded(nowMs: number): void
  failed(nowMs: number): void
  /** Nobody waits for the answer any more: it says nothing. */
  released(): void
}

/** Holds back requests to a model that fails: its callers need not wait, and it need not answer while it recovers. */
export interface Breaker {
  state(nowMs: number): BreakerState
  /** Undefined: the request must not be sent. */
  permit(nowMs: number): Permit | undefined
}

/** The window is looked back over in so many parts: it forgets a tenth at a time. */
const SLICES = 10

interface Slice {
  number: number
  succeeded: number
  failed: number
}

export function createBreaker(rules: BreakerRules): Breaker {
  const slices: Slice[] = Array.from({ length: SLICES }, () => ({ number: Number.NEGATIVE_INFINITY, succeeded: 0, failed: 0 }))
  let openedMs: number | undefined
  let probing = false
  /** Grows with each change of state: what began before it says nothing of now. */
  let era = 0

  function sliceAt(nowMs: number): Slice {
    const number = Math.floor((nowMs * SLICES) / rules.windowMs)
    const slice = slices[((number % SLICES) + SLICES) % SLICES]!
    if (slice.number !== number) Object.assign(slice, { number, succeeded: 0, failed: 0 })
    return slice
  }

  function tooManyFailed(nowMs: number): boolean {
    const { number: current } = sliceAt(nowMs)
    const seen = slices.filter(({ number }) => number > current - SLICES)
    const failed = seen.reduce((sum, slice) => sum + slice.failed, 0)
    const all = seen.reduce((sum, slice) => sum + slice.succeeded, failed)
    return all >= rules.minimumRequests && failed > 0 && failed / all >= rules.failureRatio
  }

  function turn(opened: number | undefined): void {
    openedMs = opened
    probing = false
    era++
    for (const slice of slices) slice.number = Number.NEGATIVE_INFINITY
  }

  const mayProbe = (nowMs: number): boolean => openedMs !== undefined && nowMs - openedMs >= rules.openMs

  function permitOf(probe: boolean): Permit {
    const begun = era
    return {
      succeeded(nowMs) {
        if (begun !== era) return
        if (probe) turn(undefined)
        else sliceAt(nowMs).succeeded++
      },
      failed(nowMs) {
        if (begun !== era) return
        if (!probe) sliceAt(nowMs).failed++
        if (probe || tooManyFailed(nowMs)) turn(nowMs)
      },
      released() {
        if (probe && begun === era) probing = false
      },
    }
  }

  return {
    state: (nowMs) => (openedMs === undefined ? 'closed' : mayProbe(nowMs) ? 'half-open' : 'open'),
    permit(nowMs) {
      if (openedMs === undefined) return permitOf(false)
      if (!mayProbe(nowMs) || probing) return undefined
      probing = true
      return permitOf(true)
    },
  }
}

/** Where there is to be none: lets everything through. */
export function noBreaker(): Breaker {
  const permit: Permit = { succeeded() {}, failed() {}, released() {} }
  return { state: () => 'closed', permit: () => permit }
}
