import { SlipwayError } from '../../core/errors.ts'
import { byText } from '../../ledger/tags.ts'

/** Token of the next page of a list: opaque to clients, and worth nothing to another list. @param place of the last item of this page */
export function pageTokenOf(list: string, place: string): string {
  return Buffer.from(JSON.stringify([list, place])).toString('base64url')
}

/** The place after which a page begins; undefined for the first page. @throws SLW_INPUT_INVALID for a token that this list has not given */
export function placeOfToken(list: string, token: string | undefined): string | undefined {
  if (token === undefined) return undefined
  try {
    const [given, place] = JSON.parse(Buffer.from(token, 'base64url').toString()) as unknown[]
    if (given === list && typeof place === 'string' && pageTokenOf(list, place) === token) return place
  } catch {
    // Refused below.
  }
  throw new SlipwayError(
    'SLW_INPUT_INVALID',
    `pageToken ${JSON.stringify(token.slice(0, 100))} was not given by this list: begin without one`,
  )
}

interface Page<Item> {
  readonly items: Item[]
  readonly nextPageToken?: string
}

/** A page of items of which one more than fits was read. @param placeOf place of an item in the list, as text */
export function pageOfRead<Item>(
  list: string,
  found: readonly Item[],
  { limit, placeOf }: { readonly limit: number; readonly placeOf: (item: Item) => string },
): Page<Item> {
  const items = found.slice(0, limit)
  const last = items.at(-1)
  return { items, ...(found.length > limit && last !== undefined && { nextPageToken: pageTokenOf(list, placeOf(last)) }) }
}

/** How many items are on a page, by default. */
export const PAGE_LIMIT = 100

/** A page of a list that is short enough to be read as a whole, and how many items there are in all. @param placeOf by which it is ordered */
export function pageOfAll<Item>(
  list: string,
  all: readonly Item[],
  {
    limit = PAGE_LIMIT,
    pageToken,
    placeOf,
  }: { readonly limit?: number; readonly pageToken?: string; readonly placeOf: (item: Item) => string },
): Page<Item> & { readonly total: number } {
  const after = placeOfToken(list, pageToken)
  const sorted = all.toSorted(byText(placeOf))
  const rest = after === undefined ? sorted : sorted.filter((item) => placeOf(item) > after)
  return { ...pageOfRead(list, rest, { limit, placeOf }), total: all.length }
}

/** The place of an item in a list by time of creation. */
export function byCreation({ createdAt, id }: { readonly createdAt: number; readonly id: string }): string {
  return `${String(createdAt).padStart(16, '0')} ${id}`
}
