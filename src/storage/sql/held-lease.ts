import { isSlipwayError } from '../../core/errors.ts'
import { Leases } from './leases.ts'
import type { Database } from './database.ts'

export interface HeldLeaseOptions {
  readonly database: Database
  /** Name of this process, for people who ask who has the lease. */
  readonly holder: string
  readonly name: string
}

/** A lease that is renewed until it is let go. */
export interface HeldLease extends AsyncDisposable {
  /** Aborted when the lease is lost: another process may have it now. */
  readonly lost: AbortSignal
}

const LEASE_MS = 60_000

/** @returns undefined where another process has the lease */
export async function holdLease({ database, holder, name }: HeldLeaseOptions): Promise<HeldLease | undefined> {
  let heldUntilMs = performance.now() + LEASE_MS
  const lease = await new Leases(database, holder).acquire(name, LEASE_MS)
  if (lease === undefined) return undefined
  const lost = new AbortController()
  const renewing = setInterval(() => {
    const asked = performance.now()
    // Also where the renewal before has no answer yet.
    if (asked >= heldUntilMs) lost.abort(new Error(`the lease "${name}" could not be renewed for as long as it lasts`))
    lease.renew().then(
      () => (heldUntilMs = asked + LEASE_MS),
      (error: unknown) => {
        const taken = isSlipwayError(error) && error.code === 'SLW_LEASE_LOST'
        if (taken || performance.now() >= heldUntilMs) lost.abort(error)
      },
    )
  }, LEASE_MS / 3)
  renewing.unref()
  return {
    lost: lost.signal,
    async [Symbol.asyncDispose]() {
      clearInterval(renewing)
      await lease.release()
    },
  }
}
