import { backoffMs } from '../../core/backoff.ts'
import { orLate } from '../../core/clock.ts'
import { isSlipwayError, messageOf } from '../../core/errors.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Lease, Leases } from './leases.ts'

export interface HeldWorkOptions {
  /** Of the lease. */
  readonly name: string
  /** How long others wait for a holder that has died. It is renewed three times in this time. */
  readonly ttlMs: number
  readonly clock: Clock
  readonly logger: Logger
  /** Ends it all. */
  readonly signal: AbortSignal
}

/**
 * Does work in the background while the lease is ours, and waits for the lease while it is not; again and again, until the
 * signal is given or the work returns by itself. Work that throws is done again after a back-off.
 * @param work ends soon after its signal, which comes when the lease is lost, cannot be renewed in time, or all shall end;
 *   what it writes is fenced by the lease
 */
export async function runWhileHeld(
  leases: Leases,
  options: HeldWorkOptions,
  work: (lease: Lease, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { name, ttlMs, clock, logger, signal } = options
  for (let failures = 0; !signal.aborted;) {
    try {
      const lease = await leases.acquire(name, ttlMs)
      if (lease === undefined) await pause(clock, ttlMs / 2, signal)
      else if (await hold(lease, options, work)) return
      failures = 0
    } catch (error) {
      logger.warn({ lease: name, error: messageOf(error) }, 'work in the background failed, and is tried again')
      await pause(clock, backoffMs(failures++), signal)
    }
  }
}

/** One time of holding the lease. @returns whether the work came to its end */
async function hold(
  lease: Lease,
  { ttlMs, clock, logger, signal }: HeldWorkOptions,
  work: (lease: Lease, signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const lost = new AbortController()
  const done = new AbortController()
  const renewing = renewUntil(lease, { ttlMs, clock, logger, signal: AbortSignal.any([done.signal, lost.signal]) }).catch(
    (error: unknown) => {
      logger.warn({ lease: lease.name, error: messageOf(error) }, 'the lease is lost')
      lost.abort(error)
    },
  )
  try {
    await work(lease, AbortSignal.any([signal, lost.signal]))
    return !lost.signal.aborted
  } catch (error) {
    // Its signal was given, or its transaction was refused first: no failure of the work.
    if (lost.signal.aborted || isLost(error)) return false
    if (signal.aborted) return true
    throw error
  } finally {
    done.abort()
    await renewing
    await lease
      .release()
      .catch((error: unknown) => logger.warn({ lease: lease.name, error: messageOf(error) }, 'the lease was not released'))
  }
}

/** Returns after the signal. @throws when the lease is lost, or could not be renewed for as long as it lasts */
async function renewUntil(lease: Lease, { ttlMs, clock, logger, signal }: Omit<HeldWorkOptions, 'name'>): Promise<void> {
  let until = clock.monotonicMs() + ttlMs
  for (;;) {
    await pause(clock, ttlMs / 3, signal)
    if (signal.aborted) return
    const asked = clock.monotonicMs()
    try {
      if ((await orLate(clock, until - asked, lease.renew())) === 'late') throw new Error('it was not renewed for as long as it lasts')
      until = asked + ttlMs
    } catch (error) {
      if (isLost(error) || clock.monotonicMs() >= until) throw error
      logger.warn({ lease: lease.name, error: messageOf(error) }, 'the lease was not renewed, and is tried again')
    }
  }
}

function isLost(error: unknown): boolean {
  return isSlipwayError(error) && error.code === 'SLW_LEASE_LOST'
}

/** Waits, but not beyond the signal. */
async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const wake = (): void => resolve()
  const cancel = clock.after(ms, wake)
  signal.addEventListener('abort', wake)
  await promise
  signal.removeEventListener('abort', wake)
  cancel()
}
