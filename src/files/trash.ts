import { faultPoint } from '../core/fail-point.ts'
import type { Ground, Write } from '../ledger/scope.ts'
import type { Root } from './file-trees.ts'

/** Time for which deleted items can be restored. */
export const TRASH_LIFE_MS: number = 30 * 24 * 3600 * 1000

/** Upper limit of rows in one transaction: others wait no longer than for these. */
export const TRASH_BATCH = 100

/**
 * Purges items that have been in the trash for long enough: their rows, and with them the references to their files.
 * @param some purges up to a batch
 */
export async function purge({ database }: Ground, some: (write: Write) => Promise<number>): Promise<number> {
  let sum = 0
  for (;;) {
    const gone = await database.write(some)
    await faultPoint('trash.purged')
    sum += gone
    if (gone < TRASH_BATCH) return sum
  }
}

/** Drops the files of owners that are deleted. */
export async function dropFiles(
  write: Write,
  kind: 'run' | 'model' | 'version',
  owners: readonly { readonly id: string }[],
): Promise<void> {
  if (owners.length === 0) return
  const roots = owners.map(({ id }): Root => `${kind}:${id}`)
  await write.deleteFrom('files').where('root', 'in', roots).execute()
}
