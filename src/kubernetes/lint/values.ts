import type { KubernetesObject } from '../object.ts'

/** Keys and indexes from an object to a value in it. */
export type Path = readonly (string | number)[]

/** Manifests of others have any shape: nothing here throws. */
export function at(value: unknown, ...path: Path): unknown {
  let found: unknown = value
  for (const key of path) {
    if (found === null || typeof found !== 'object' || !Object.hasOwn(found, key)) return undefined
    found = (found as Record<string | number, unknown>)[key]
  }
  return found
}

export function mapAt(value: unknown, ...path: Path): Readonly<Record<string, unknown>> {
  const found = at(value, ...path)
  return found !== null && typeof found === 'object' && !Array.isArray(found) ? (found as Record<string, unknown>) : {}
}

export function listAt(value: unknown, ...path: Path): readonly unknown[] {
  const found = at(value, ...path)
  return Array.isArray(found) ? found : []
}

/** Any value in a sentence. Maps may have a `toString` of their own, which is none. */
export function wordOf(value: unknown): string {
  return value !== null && typeof value === 'object' ? (JSON.stringify(value) ?? '').slice(0, 200) : String(value)
}

/** A text that is not empty. */
export function textAt(value: unknown, ...path: Path): string | undefined {
  const found = at(value, ...path)
  return typeof found === 'string' && found !== '' ? found : undefined
}

export function numberAt(value: unknown, ...path: Path): number | undefined {
  const found = at(value, ...path)
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined
}

/** A number of pods, or a share of them, as `maxSurge` and its like have it. */
export function podsAt(value: unknown, pods: number, round: 'up' | 'down', ...path: Path): number | undefined {
  const found = at(value, ...path)
  if (typeof found === 'number') return found
  const percent = typeof found === 'string' ? /^(\d{1,4})%$/.exec(found)?.[1] : undefined
  if (percent === undefined) return undefined
  return (round === 'up' ? Math.ceil : Math.floor)((pods * Number(percent)) / 100)
}

const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** Value of a quantity (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/); undefined where it is none. */
export function quantityAt(value: unknown, ...path: Path): number | undefined {
  const found = at(value, ...path)
  if (typeof found === 'number') return found
  const match = typeof found === 'string' ? /^(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)([mkMGTPE]?i?)$/.exec(found.trim()) : null
  const unit = match === null ? undefined : UNITS[match[2]!]
  return unit === undefined ? undefined : Number(match![1]) * unit
}

type Labels = Readonly<Record<string, unknown>>

/** Whether labels have all that is asked for. What asks for nothing matches everything. */
export function hasLabels(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value)
}

/** As {@link hasLabels}, for a label selector with `matchLabels` and `matchExpressions`. */
export function selects(selector: unknown, labels: Labels): boolean {
  return (
    hasLabels(labels, mapAt(selector, 'matchLabels')) &&
    listAt(selector, 'matchExpressions').every((expression) => {
      const key = textAt(expression, 'key') ?? ''
      const has = Object.hasOwn(labels, key)
      const isIn = has && listAt(expression, 'values').includes(labels[key])
      const operator = textAt(expression, 'operator')
      return operator === 'In' ? isIn : operator === 'NotIn' ? !isIn : operator === 'Exists' ? has : !has
    })
  )
}

/** Whether two objects lie in one namespace. Where one says none, it is put where the others are. */
export function isBeside(one: KubernetesObject, other: KubernetesObject): boolean {
  const [a, b] = [one.metadata.namespace, other.metadata.namespace]
  return a === undefined || b === undefined || a === b
}

/** Group of an object: apps, or nothing for what is Kubernetes' core. */
export function groupOf({ apiVersion }: KubernetesObject): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
}

/** That an object is missing among the manifests, and which of its kind there are. */
export function noneAmong(kind: string, name: string, there: readonly KubernetesObject[]): string {
  return `there is no ${kind} ${name} among the manifests, but ${there
    .slice(0, 4)
    .map(({ metadata }) => metadata.name)
    .join(', ')}`
}
