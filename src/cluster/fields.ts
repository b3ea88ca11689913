/** Fields of objects: which differ, and whose they are. */
import type { LiveObject } from './cluster.ts'

/** One step into an object: a field, an element of a list by its keys, or by its place. */
export type Step = string | number | Readonly<Record<string, unknown>>

export interface FieldChange {
  readonly path: readonly Step[]
  /** Undefined where there is none. */
  readonly before: unknown
  readonly after: unknown
}

/** Keys by which elements of lists are known, the first that all elements have and that tells them apart. */
const KEYS = [['name'], ['mountPath'], ['containerPort', 'protocol'], ['port', 'protocol'], ['ip'], ['type'], ['topologyKey']] as const

export function changesBetween(before: unknown, after: unknown, path: readonly Step[] = []): FieldChange[] {
  if (Object.is(before, after)) return []
  if (Array.isArray(before) && Array.isArray(after)) return changesOfLists(before, after, path)
  if (!isObject(before) || !isObject(after)) return [{ path, before, after }]
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].toSorted().flatMap((name) => changesBetween(before[name], after[name], [...path, name]))
}

function changesOfLists(before: readonly unknown[], after: readonly unknown[], path: readonly Step[]): FieldChange[] {
  const keys = keysOf([...before, ...after], before, after)
  if (keys === undefined) {
    const length = Math.max(before.length, after.length)
    return Array.from({ length }, (_, index) => changesBetween(before[index], after[index], [...path, index])).flat()
  }
  const steps = new Map([...before, ...after].map((element) => [stepText(keyed(element, keys)), keyed(element, keys)]))
  return [...steps].flatMap(([text, step]) => {
    const find = (list: readonly unknown[]): unknown => list.find((element) => stepText(keyed(element, keys)) === text)
    return changesBetween(find(before), find(after), [...path, step])
  })
}

function keysOf(all: readonly unknown[], ...lists: readonly (readonly unknown[])[]): readonly string[] | undefined {
  if (all.length === 0) return undefined
  return KEYS.find(
    (keys) =>
      all.every((element) => isObject(element) && element[keys[0]] !== undefined) &&
      lists.every((list) => new Set(list.map((element) => stepText(keyed(element, keys)))).size === list.length),
  )
}

function keyed(element: unknown, keys: readonly string[]): Record<string, unknown> {
  const fields = element as Record<string, unknown>
  return Object.fromEntries(keys.filter((key) => fields[key] !== undefined).map((key) => [key, fields[key]]))
}

/** `spec.template.spec.containers[name=slipway].image` */
export function pathText(path: readonly Step[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step !== 'string') return `${text}[${stepText(step)}]`
    const word = /^[\w-]+$/.test(step) ? step : `"${step}"`
    return text === '' ? word : `${text}.${word}`
  }, '')
}

function stepText(step: Step): string {
  if (typeof step !== 'object') return String(step)
  return Object.entries(step)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(',')
}

/** Whoever has set a field of an object, or the list or object that it is in as a whole. */
export function ownersOf(object: LiveObject, path: readonly Step[]): string[] {
  const owners = (object.metadata.managedFields ?? [])
    .filter(({ fieldsV1, subresource }) => subresource !== 'status' && fieldsV1 !== undefined && has(fieldsV1, path, object))
    .map(({ manager }) => manager)
  return [...new Set(owners)]
}

function has(fields: object, path: readonly Step[], value: unknown): boolean {
  const [step, ...rest] = path
  const names = Object.keys(fields)
  // A leaf is had as a whole: a scalar, or a list that only one can set.
  if (step === undefined || names.length === 0) return true
  const [name, inside] = entryOf(fields, step, value) ?? []
  return name !== undefined && has((fields as Record<string, object>)[name] ?? {}, rest, inside)
}

/** The entry of managed fields that a step goes into, and the value that it finds there (structured-merge-diff, fieldpath/serialize-pe.go). */
function entryOf(fields: object, step: Step, value: unknown): readonly [name: string, inside: unknown] | undefined {
  const names = Object.keys(fields)
  if (typeof step === 'string') return names.includes(`f:${step}`) ? [`f:${step}`, isObject(value) ? value[step] : undefined] : undefined
  const list = Array.isArray(value) ? (value as readonly unknown[]) : []
  const element = typeof step === 'number' ? list[step] : list.find((one) => isObject(one) && agree(step, one))
  const name = names.find((one) => {
    if (one.startsWith('k:')) return isObject(element) && agree(JSON.parse(one.slice(2)) as Record<string, unknown>, element)
    if (one.startsWith('v:')) return Object.is(JSON.parse(one.slice(2)), element)
    return one === `i:${String(step)}`
  })
  return name === undefined ? undefined : [name, element]
}

function agree(keys: Readonly<Record<string, unknown>>, element: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(keys).every(([key, value]) => Object.is(element[key], value))
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
