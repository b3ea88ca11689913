import { isSlipwayError } from '../core/errors.ts'
import { Leases } from '../storage/sql/leases.ts'
import type { Logger } from '../core/log.ts'
import type { Write } from '../registry/ground.ts'
import type { Database } from '../storage/sql/database.ts'

export interface LeaseOptions {
  readonly database: Database
  /** Who we are, for people who ask who has the lease. */
  readonly holder: string
  readonly name: string
  readonly log: Logger
}

const LEASE_MS = 60_000

/**
 * Does work that one control plane of a database does at a time; nothing where another does it.
 * @param work gets what makes a transaction fail once another has taken over
 */
export async function underLease(
  { database, holder, name, log }: LeaseOptions,
  work: (fenced: (write: Write) => Promise<void>) => Promise<void>,
): Promise<void> {
  const held = await holdLease({ database, holder, name })
  if (held === undefined) return
  try {
    await work(held.fenced)
  } catch (error) {
    if (!isSlipwayError(error) || error.code !== 'SLW_LEASE_LOST') throw error
    log.info({ lease: name }, 'another control plane has taken over')
  } finally {
    await held[Symbol.asyncDispose]()
  }
}

/** A lease that is renewed until it is let go. */
export interface HeldLease extends AsyncDisposable {
  /** Makes a transaction fail once another has taken over. */
  readonly fenced: (write: Write) => Promise<void>
}

/** @returns undefined where another has it */
export async function holdLease({ database, holder, name }: Omit<LeaseOptions, 'log'>): Promise<HeldLease | undefined> {
  const lease = await new Leases(database, holder).acquire(name, LEASE_MS)
  if (lease === undefined) return undefined
  const renewing = setInterval(() => void lease.renew().catch(() => {}), LEASE_MS / 3)
  renewing.unref()
  return {
    fenced: (write) => lease.fenced(write),
    async [Symbol.asyncDispose]() {
      clearInterval(renewing)
      await lease.release()
    },
  }
}
