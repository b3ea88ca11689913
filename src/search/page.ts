import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { RawBuilder, SelectQueryBuilder, SqlBool } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Dialect } from './compare.ts'
import { refused } from './kinds.ts'
import type { SearchKind } from './kinds.ts'
import type { OrderTerm } from './order.ts'
import { latestMetric, onDatasets } from './latest.ts'
import { TABLES } from './tables.ts'
import type { Column, Details } from './tables.ts'

export interface PageRequest {
  readonly kind: SearchKind
  readonly dialect: Dialect
  /** At least 1; one row more is read. */
  readonly maxResults: number
  /** Token from the page before, of the same search in the same order. Missing or empty for the first page. */
  readonly pageToken?: string
  /** All that decides which rows are found, such as the filter: a token of another search is refused. */
  readonly among: readonly (string | undefined)[]
}

export interface Page<O> {
  readonly rows: readonly O[]
  /** Missing on the last page. */
  readonly nextPageToken?: string
}

interface SortColumn extends Column {
  readonly descending: boolean
}

/**
 * Reads one page of a query in an order. A page begins behind the last row of the page before, by the values that it was ordered by, so
 * rows that are added or removed meanwhile neither hide others nor show them twice. Rows without a value come last in either direction, and
 * NaN after the numbers; text is ordered by its bytes.
 * @throws SLW_INPUT_INVALID when the token is not one of this search in this order
 */
export async function pageOf<TB extends keyof Schema, O>(
  query: SelectQueryBuilder<Schema, TB, O>,
  order: readonly OrderTerm[],
  { kind, dialect, maxResults, pageToken = '', among }: PageRequest,
): Promise<Page<O>> {
  if (!Number.isSafeInteger(maxResults) || maxResults < 1)
    throw refused(`Invalid value for max_results. It must be a positive integer, but got ${maxResults}`)
  const columns = sortColumns(kind, order, dialect)
  const search = fingerprint(kind, order, among)
  let page = query
  if (pageToken !== '') page = page.where(behind(columns, read(pageToken, search, columns)))
  for (const [index, { expression, nullable, descending }] of columns.entries()) {
    const name = sql.ref(alias(index))
    page = page.select(expression.as(alias(index))) as typeof page
    page = page.orderBy(name, (by) => {
      const directed = descending ? by.desc() : by.asc()
      // Neither database uses an index for an order with NULLS LAST, as neither knows that a column has no nulls.
      return nullable ? directed.nullsLast() : directed
    })
  }
  const found = (await page.limit(maxResults + 1).execute()) as Record<string, unknown>[]
  const rows = found.slice(0, maxResults)
  const last = rows.at(-1)
  const nextPageToken = found.length > maxResults && last !== undefined ? write(last, search, columns) : undefined
  for (const row of rows) for (const index of columns.keys()) delete row[alias(index)]
  return { rows: rows as O[], ...(nextPageToken === undefined ? {} : { nextPageToken }) }
}

/** The name under which a value of the order is selected. */
function alias(index: number): string {
  return `search_order_${index}`
}

function sortColumns(kind: SearchKind, order: readonly OrderTerm[], dialect: Dialect): readonly SortColumn[] {
  const { id } = TABLES[kind]
  const ofTerms = order.flatMap((term) =>
    columnsOf(kind, term).map((column) => ({ ...column, descending: term.descending && !column.ranks })),
  )
  // The id makes all rows different in any order: names of models are only unique within their environment.
  const all: readonly SortColumn[] = [...ofTerms, { expression: id, type: 'text', nullable: false, descending: false }]
  if (dialect === 'sqlite') return all
  return all.map((column) => (column.type === 'text' ? { ...column, expression: sql`${column.expression} collate "C"` } : column))
}

/** `ranks` marks a column that groups rows: the groups have the same order in either direction. */
function columnsOf(kind: SearchKind, term: OrderTerm): readonly (Column & { readonly ranks?: boolean })[] {
  const { attributes, orders, tags, params, metrics } = TABLES[kind]
  const { subject, key } = term
  const attribute = attributes[key]
  if (subject === 'attribute' && attribute !== undefined) return orders?.[key] ?? [attribute]
  if (subject === 'metric' && metrics !== undefined) {
    return [
      { expression: valueOf(kind, 'is_nan', metrics, term), type: 'integer', nullable: true, ranks: true },
      { expression: valueOf(kind, 'value', metrics, term), type: 'double', nullable: true },
    ]
  }
  const details = subject === 'tag' ? tags : params
  if (subject === 'attribute' || details === undefined) throw refused(`Invalid order_by: ${kind} have no ${subject} '${key}'`)
  return [{ expression: valueOf(kind, 'value', details, term), type: 'text', nullable: true }]
}

/** A column of the one row that an object has under a key. */
function valueOf(
  kind: SearchKind,
  column: 'value' | 'is_nan',
  { table, owner }: Details,
  { key, datasets }: OrderTerm,
): RawBuilder<unknown> {
  const of = (name: string): RawBuilder<unknown> => sql.ref(`detail.${name}`)
  if (table === 'logged_model_metrics')
    return sql`(select ${of(column)} from ${latestMetric(
      key,
      (datasets ?? []).flatMap((each) => onDatasets(each)),
    )} as detail)`
  return sql`(select ${of(column)} from ${sql.table(table)} as detail where ${of(owner)} = ${TABLES[kind].id} and ${of('key')} = ${key})`
}

/** Condition for rows after these values: equal in the first columns, and behind in the next. */
function behind(columns: readonly SortColumn[], values: readonly (string | number | null)[]): RawBuilder<SqlBool> {
  const equal: RawBuilder<unknown>[] = []
  const ways: RawBuilder<unknown>[] = []
  for (const [index, { expression, nullable, descending }] of columns.entries()) {
    const value = values[index] ?? null
    if (value !== null) {
      const further = sql`${expression} ${sql.raw(descending ? '<' : '>')} ${value}`
      const last = nullable ? sql`(${further} or ${expression} is null)` : further
      ways.push(sql`(${sql.join([...equal, last], sql` and `)})`)
    }
    equal.push(value === null ? sql`${expression} is null` : sql`${expression} = ${value}`)
  }
  return sql`(${sql.join(ways, sql` or `)})`
}

/** Upper limit of a token in characters: twenty tags of 8000 characters fit. */
const TOKEN_LENGTH_MAX = 1_000_000

/** Makes a token of the search and the values of the last row, as text, which keeps numbers exactly. */
function write(row: Readonly<Record<string, unknown>>, search: string, columns: readonly SortColumn[]): string {
  const values = columns.map((_, index) => {
    const value = row[alias(index)] ?? null
    return value === null ? null : String(value)
  })
  return Buffer.from(JSON.stringify([search, ...values])).toString('base64url')
}

function read(token: string, search: string, columns: readonly SortColumn[]): readonly (string | number | null)[] {
  const [origin, ...values] = listIn(token)
  if (origin !== search || values.length !== columns.length)
    throw refused('Invalid page token: it belongs to another search, or to another order; ask for the first page again')
  return columns.map(({ type, nullable }, index) => {
    const value = values[index]
    if (value === null && nullable) return null
    if (typeof value === 'string' && !value.includes('\0')) {
      if (type === 'text') return value
      const number = Number(value)
      if (value !== '' && (type === 'integer' ? Number.isSafeInteger(number) : !Number.isNaN(number))) return number
    }
    throw refused('Invalid page token: it was changed on its way; ask for the first page again')
  })
}

function listIn(token: string): readonly unknown[] {
  if (token.length <= TOKEN_LENGTH_MAX) {
    try {
      const content: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
      if (Array.isArray(content)) return content
    } catch {
      // Unreadable tokens are refused below, like those that hold no list.
    }
  }
  throw refused('Invalid page token: expected one that an earlier page came with')
}

function fingerprint(kind: SearchKind, order: readonly OrderTerm[], among: PageRequest['among']): string {
  return createHash('sha256')
    .update(JSON.stringify([kind, order, among]))
    .digest('base64url')
    .slice(0, 12)
}
