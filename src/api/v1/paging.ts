import { PAGE_LIMIT } from './page-token.ts'
import { countOf } from '../../storage/sql/count-of.ts'
import { parseOrder } from '../../search/order.ts'
import { pageOf } from '../../search/page.ts'
import type { SelectQueryBuilder } from 'kysely'
import type { Ground } from '../../ledger/scope.ts'
import type { Schema } from '../../storage/sql/schema.ts'
import type { SearchKind } from '../../search/kinds.ts'
import type { Searched } from '../../search/queries.ts'
import type { V1Answer, V1Call } from './route.ts'

interface Search {
  readonly filter?: string
  readonly orderBy?: string
  readonly limit?: number
  readonly pageToken?: string
}

interface PageOf<Item> {
  readonly items: readonly Item[]
  readonly total: number
  readonly nextPageToken?: string
}

type Searching = Pick<V1Call<{ readonly ground: Ground }, Search>, 'services' | 'scope' | 'query' | 'params' | 'caller'>

export function searched({ services, scope, query, caller }: Searching): Searched {
  const { read, dialect } = services.ground.database
  return { read, dialect, scope, filter: query.filter ?? '', visible: caller.modelsTo('read', scope.environment) }
}

/** One page of the results of a query, and their total number. */
export async function pageAnswer<TB extends keyof Schema, O, Item extends object>(
  { services, scope, query, params }: Searching,
  kind: Exclude<SearchKind, 'loggedModels'>,
  found: SelectQueryBuilder<Schema, TB, O>,
  write: (rows: readonly O[]) => Promise<readonly Item[]>,
): Promise<V1Answer<PageOf<Item>>> {
  const { limit = PAGE_LIMIT, pageToken = '', orderBy } = query
  const order = parseOrder(kind, orderBy === undefined ? [] : orderBy.split(',').map((term) => term.trim()))
  const { rows, nextPageToken } = await pageOf(found, order, {
    kind,
    dialect: services.ground.database.dialect,
    maxResults: limit,
    pageToken,
    among: [scope.environment, JSON.stringify({ ...params, ...query, limit: undefined, pageToken: undefined })],
  })
  // A first page without a next one has all results.
  const total = pageToken === '' && nextPageToken === undefined ? rows.length : await countOf(found)
  return { body: { items: await write(rows), total, ...(nextPageToken !== undefined && { nextPageToken }) } }
}
