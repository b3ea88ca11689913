import { SlipwayError } from '../core/errors.ts'
import type { Selectable } from 'kysely'
import type { Scope, Write } from '../ledger/scope.ts'
import type { EndpointsRow } from './tables.ts'

/** The row of an endpoint is ours until the transaction ends. @throws SLW_PRECONDITION_FAILED where it is not the one that the caller has seen */
export async function lockEndpoint(write: Write, { resourceVersion }: Scope, id: string): Promise<Selectable<EndpointsRow>> {
  const row = await write
    .updateTable('endpoints')
    .set((columns) => ({ resource_version: columns.ref('resource_version') }))
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
  if (resourceVersion !== undefined && row.resource_version !== resourceVersion)
    throw new SlipwayError(
      'SLW_PRECONDITION_FAILED',
      `endpoint "${row.name}" has changed since resource version ${resourceVersion}; it is ${row.resource_version} now`,
    )
  return row
}

/** An endpoint has changed: its resource version grows, by which whoever has seen the one before is told. */
export async function bump(write: Write, id: string, more: { readonly updated_at?: number } = {}): Promise<void> {
  await write
    .updateTable('endpoints')
    .set((columns) => ({ ...more, resource_version: columns('resource_version', '+', 1) }))
    .where('id', '=', id)
    .execute()
}
