import { SlipwayError } from '../core/errors.ts'
import type { Selectable } from 'kysely'
import type { Scope, Write } from '../ledger/scope.ts'
import type { Suspension } from './read-endpoints.ts'
import type { EndpointsRow } from './tables.ts'

/** Locks the row of an endpoint until the transaction ends. @throws SLW_PRECONDITION_FAILED if the caller has seen another one */
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

/** Increments the resource version of a changed endpoint, so that callers that have seen the one before notice. */
export async function bump(write: Write, id: string, more: { readonly updated_at?: number } = {}): Promise<void> {
  await write
    .updateTable('endpoints')
    .set((columns) => ({ ...more, resource_version: columns('resource_version', '+', 1) }))
    .where('id', '=', id)
    .execute()
}

/** Stops following aliases. The row of the endpoint must be locked. */
export async function suspend(write: Write, id: string, suspension: Suspension): Promise<void> {
  await write
    .updateTable('endpoints')
    .set({ suspended: JSON.stringify(suspension) })
    .where('id', '=', id)
    .execute()
}
