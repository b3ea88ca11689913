import { setTimeout as pause } from 'node:timers/promises'
import { SlipwayError } from '../core/errors.ts'
import { writeBackup } from '../storage/backup/write-backup.ts'
import { holdLease } from '../storage/sql/held-lease.ts'
import type { Backup } from '../api/v1/backup-routes.ts'
import type { Kept } from '../storage/backup/write-backup.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'
import type { HeldLease } from '../storage/sql/held-lease.ts'

export interface MakeBackupOptions {
  readonly database: Database
  readonly objects: ObjectStore
  readonly holder: string
  /** Folder in which rows are collected until they are sent. */
  readonly folder: string
  readonly kept: Kept
}

/** Name of the lease for deleting files; a backup holds it so that none are deleted. */
export const COLLECT_LEASE = 'collect'

const WAIT_MS = 60_000
const LOOK_EVERY_MS = 200

/** Makes backups while the control plane runs. No control plane collects files meanwhile: the backup holds the lease. */
export function backups({ database, objects, holder, folder, kept }: MakeBackupOptions): Backup {
  return async (withObjects = objects.kind === 'file') => {
    const lease = await waitForLease({ database, holder })
    try {
      const made = await writeBackup({ database, objects, withObjects, folder, kept })
      if (lease.lost.aborted) {
        made.archive.destroy()
        lease.lost.throwIfAborted()
      }
      made.archive.once('close', () => void letGo(lease))
      // Files that the archive names may be gone now.
      lease.lost.addEventListener('abort', () => made.archive.destroy(lease.lost.reason as Error))
      return made
    } catch (error) {
      await lease[Symbol.asyncDispose]()
      throw error
    }
  }
}

/** Releases a lease; one that cannot be released expires by itself. */
async function letGo(lease: AsyncDisposable): Promise<void> {
  try {
    await lease[Symbol.asyncDispose]()
  } catch {
    // The database cannot be reached.
  }
}

async function waitForLease(options: { database: Database; holder: string }): Promise<HeldLease> {
  for (const end = Date.now() + WAIT_MS; Date.now() < end;) {
    const lease = await holdLease({ ...options, name: COLLECT_LEASE })
    if (lease !== undefined) return lease
    await pause(LOOK_EVERY_MS)
  }
  throw new SlipwayError('SLW_CONFLICT', 'files are being collected, or another backup is made; try again later', { retryAfterMs: 10_000 })
}
