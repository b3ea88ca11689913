import { requireKey, requireLength } from './keys.ts'
/** Tags: as rows, and as clients see them. */

export interface Tag {
  readonly key: string
  readonly value: string
}

/** Rows of tags; the last value wins where a key comes twice. */
export function tagRows<Owner extends object>(owner: Owner, tags: readonly Tag[]): (Owner & Tag)[] {
  return [...new Map(tags.map(({ key, value }) => [key, value]))].map(([key, value]) => ({ ...owner, key, value }))
}

/** Tags as an object, by their keys. */
export function tagRecord(tags: readonly Tag[]): Record<string, string> {
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]))
}

/**
 * Compares items by the code units of their text, as SQLite compares bytes. PostgreSQL orders by its locale, so lists that clients are to
 * see in one order are sorted here.
 */
export function byText<T>(textOf: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => {
    const [left, right] = [textOf(a), textOf(b)]
    return left < right ? -1 : left > right ? 1 : 0
  }
}

/** Tags by their owner, each list in the order of its keys. */
export function groupTags(rows: readonly (Tag & { readonly owner: string })[]): Map<string, Tag[]> {
  const groups = new Map<string, Tag[]>()
  for (const { owner, key, value } of rows) {
    const group = groups.get(owner)
    if (group === undefined) groups.set(owner, [{ key, value }])
    else group.push({ key, value })
  }
  for (const group of groups.values()) group.sort(byText(({ key }) => key))
  return groups
}

/** @param valueLimit characters. @throws SLW_INPUT_INVALID */
export function requireTag(what: string, { key, value }: Tag, valueLimit: number): void {
  requireKey(`the key of ${what}`, key)
  requireLength(`the value of ${what} "${key}"`, value, valueLimit)
}
