import { SlipwayError } from '../core/errors.ts'
import type { Scope, Write } from '../ledger/scope.ts'

/**
 * Locks the row of an object that is about to change until the transaction ends, and increments its resource version, if that is still the
 * one that the caller has seen.
 * @throws SLW_PRECONDITION_FAILED
 */
export async function touch(
  write: Write,
  table: 'models' | 'versions',
  id: string,
  { resourceVersion }: Pick<Scope, 'resourceVersion'>,
): Promise<void> {
  const { numUpdatedRows } = await write
    .updateTable(table)
    .set((columns) => ({ revision: columns('revision', '+', 1) }))
    .where('id', '=', id)
    .$if(resourceVersion !== undefined, (all) => all.where('revision', '=', resourceVersion!))
    .executeTakeFirst()
  if (numUpdatedRows === 0n) throw new SlipwayError('SLW_PRECONDITION_FAILED', `it has changed since version ${resourceVersion} of it`)
}
