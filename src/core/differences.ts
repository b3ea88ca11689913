/** One place in which two documents differ. */
export interface Difference {
  /** Such as `spec.variants[0].model`. */
  readonly path: string
  /** Undefined where the value was missing before. */
  readonly before?: unknown
  /** Undefined where the value is missing afterwards. */
  readonly after?: unknown
}

/** Differences of two JSON documents, leaf by leaf, in the order of the documents. */
export function differences(before: unknown, after: unknown, path = ''): Difference[] {
  if (Object.is(before, after)) return []
  const [left, right] = [membersOf(before), membersOf(after)]
  if (left === undefined || right === undefined || Array.isArray(before) !== Array.isArray(after))
    return [{ path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }]
  const keys = new Set([...left.keys(), ...right.keys()])
  const at = (key: string): string => (Array.isArray(before) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`)
  return [...keys].flatMap((key) => differences(left.get(key), right.get(key), at(key)))
}

function membersOf(value: unknown): Map<string, unknown> | undefined {
  return value !== null && typeof value === 'object' ? new Map(Object.entries(value)) : undefined
}
