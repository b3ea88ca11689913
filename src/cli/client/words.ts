import type { Shape } from './model-shape.ts'

/** A name as types have it: `churn-v2` is `ChurnV2`. */
export function typeName(name: string): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter((word) => word !== '')
  const joined = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('')
  return /^[A-Za-z]/.test(joined) ? joined : `Model${joined}`
}

/** What a person is told of a field: its description, its bounds, what it is by default. */
export function fieldWords({ description, minimum, maximum, default: byDefault }: Shape): string | undefined {
  const parts: string[] = []
  if (description !== undefined) parts.push(/[.!?)]$/.test(description) ? description : `${description}.`)
  if (minimum !== undefined && maximum !== undefined) parts.push(`From ${minimum} to ${maximum}.`)
  else if (minimum !== undefined) parts.push(`From ${minimum} on.`)
  else if (maximum !== undefined) parts.push(`Up to ${maximum}.`)
  if (byDefault !== undefined) parts.push(`Default: ${JSON.stringify(byDefault)}.`)
  return parts.length === 0 ? undefined : parts.join(' ').replaceAll(/\s+/g, ' ')
}

/** The kinds of values that a shape allows. */
export function typesOf({ type }: Shape): readonly string[] {
  return typeof type === 'string' ? [type] : (type ?? [])
}

/** The one shape of all properties, where an object is a table from names to values. */
export function sameForAll({ properties }: Shape): Shape | undefined {
  const [first, ...rest] = Object.values(properties ?? {})
  const written = JSON.stringify(first)
  return first !== undefined && rest.length > 0 && rest.every((shape) => JSON.stringify(shape) === written) ? first : undefined
}
