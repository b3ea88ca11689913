/** Places in objects, by the keys and indices that lead to them. */
type Path = readonly (string | number)[]

export function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? (at as Readonly<Record<string | number, unknown>>)[key] : undefined),
    tree,
  )
}

/** A copy with another value at a place; the same where there is no such place. */
export function changed(tree: unknown, path: Path, change: (value: unknown) => unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return change(tree)
  if (typeof tree !== 'object' || tree === null || !(key in tree)) return tree
  if (Array.isArray(tree)) return tree.map((one: unknown, index) => (index === key ? changed(one, rest, change) : one))
  return { ...tree, [key]: changed((tree as Readonly<Record<string, unknown>>)[String(key)], rest, change) }
}
