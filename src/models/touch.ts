import { SlipwayError } from '../core/errors.ts'
import type { Scope, Write } from '../ledger/scope.ts'

/**
 * Says that an object is about to change. Its row is ours until the transaction ends, and its resource version grows, which only happens
 * where it is still the one that the caller has seen.
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
