import { keyOf } from '../../object.ts'
import { FIELD_TYPES, KIND_TYPES } from '../field-types.ts'
import { nearest } from '../nearest.ts'
import { at, isBeside, wordOf } from '../values.ts'
import type { KubernetesObject } from '../../object.ts'
import type { Break, Rule } from '../rule.ts'
import type { Path } from '../values.ts'

interface Removed {
  /** Release in which it went. */
  readonly since: string
  readonly instead: string
}

/** Versions that the API no longer has: https://kubernetes.io/docs/reference/using-api/deprecation-guide/ */
const REMOVED: Readonly<Record<string, Removed>> = {
  'extensions/v1beta1/Deployment': { since: '1.16', instead: 'apps/v1' },
  'extensions/v1beta1/DaemonSet': { since: '1.16', instead: 'apps/v1' },
  'extensions/v1beta1/ReplicaSet': { since: '1.16', instead: 'apps/v1' },
  'extensions/v1beta1/NetworkPolicy': { since: '1.16', instead: 'networking.k8s.io/v1' },
  'extensions/v1beta1/PodSecurityPolicy': { since: '1.16', instead: 'labels of pod security on the namespace' },
  'extensions/v1beta1/Ingress': { since: '1.22', instead: 'networking.k8s.io/v1' },
  'apps/v1beta1/Deployment': { since: '1.16', instead: 'apps/v1' },
  'apps/v1beta1/StatefulSet': { since: '1.16', instead: 'apps/v1' },
  'apps/v1beta2/Deployment': { since: '1.16', instead: 'apps/v1' },
  'apps/v1beta2/StatefulSet': { since: '1.16', instead: 'apps/v1' },
  'apps/v1beta2/DaemonSet': { since: '1.16', instead: 'apps/v1' },
  'apps/v1beta2/ReplicaSet': { since: '1.16', instead: 'apps/v1' },
  'networking.k8s.io/v1beta1/Ingress': { since: '1.22', instead: 'networking.k8s.io/v1' },
  'networking.k8s.io/v1beta1/IngressClass': { since: '1.22', instead: 'networking.k8s.io/v1' },
  'rbac.authorization.k8s.io/v1beta1/Role': { since: '1.22', instead: 'rbac.authorization.k8s.io/v1' },
  'rbac.authorization.k8s.io/v1beta1/RoleBinding': { since: '1.22', instead: 'rbac.authorization.k8s.io/v1' },
  'rbac.authorization.k8s.io/v1beta1/ClusterRole': { since: '1.22', instead: 'rbac.authorization.k8s.io/v1' },
  'rbac.authorization.k8s.io/v1beta1/ClusterRoleBinding': { since: '1.22', instead: 'rbac.authorization.k8s.io/v1' },
  'apiextensions.k8s.io/v1beta1/CustomResourceDefinition': { since: '1.22', instead: 'apiextensions.k8s.io/v1' },
  'apiregistration.k8s.io/v1beta1/APIService': { since: '1.22', instead: 'apiregistration.k8s.io/v1' },
  'admissionregistration.k8s.io/v1beta1/ValidatingWebhookConfiguration': { since: '1.22', instead: 'admissionregistration.k8s.io/v1' },
  'admissionregistration.k8s.io/v1beta1/MutatingWebhookConfiguration': { since: '1.22', instead: 'admissionregistration.k8s.io/v1' },
  'scheduling.k8s.io/v1beta1/PriorityClass': { since: '1.22', instead: 'scheduling.k8s.io/v1' },
  'storage.k8s.io/v1beta1/StorageClass': { since: '1.22', instead: 'storage.k8s.io/v1' },
  'batch/v1beta1/CronJob': { since: '1.25', instead: 'batch/v1' },
  'policy/v1beta1/PodDisruptionBudget': { since: '1.25', instead: 'policy/v1' },
  'policy/v1beta1/PodSecurityPolicy': { since: '1.25', instead: 'labels of pod security on the namespace' },
  'autoscaling/v2beta1/HorizontalPodAutoscaler': { since: '1.25', instead: 'autoscaling/v2' },
  'autoscaling/v2beta2/HorizontalPodAutoscaler': { since: '1.26', instead: 'autoscaling/v2' },
  'discovery.k8s.io/v1beta1/EndpointSlice': { since: '1.25', instead: 'discovery.k8s.io/v1' },
  'flowcontrol.apiserver.k8s.io/v1beta2/FlowSchema': { since: '1.29', instead: 'flowcontrol.apiserver.k8s.io/v1' },
  'split.smi-spec.io/v1alpha1/TrafficSplit': { since: 'Linkerd 2.12', instead: 'an HTTPRoute of the Gateway API' },
  'split.smi-spec.io/v1alpha2/TrafficSplit': { since: 'Linkerd 2.12', instead: 'an HTTPRoute of the Gateway API' },
}

const fieldsOf = (() => {
  const parsed = new Map<string, ReadonlyMap<string, string>>()
  return (type: string): ReadonlyMap<string, string> => {
    let fields = parsed.get(type)
    if (fields === undefined) {
      const pairs = (FIELD_TYPES[type] ?? '')
        .split(' ')
        .map((pair) => [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)] as const)
      parsed.set(type, (fields = new Map(pairs)))
    }
    return fields
  }
})()

interface Misfit {
  readonly path: Path
  readonly kind: 'unknown' | 'type'
  readonly message: string
}

const PLAIN = new Set(['string', 'integer', 'number', 'boolean', 'number|string'])

/** Where a value is not of a type: the walk goes no deeper than types do, except where a type holds itself. */
function* misfits(value: unknown, type: string, path: Path): Generator<Misfit> {
  // A field of null is one that is not there.
  if (type === 'any' || value === null || value === undefined || path.length > 64) return
  if (PLAIN.has(type)) {
    const isRight = type === 'integer' ? Number.isInteger(value) : type.split('|').includes(typeof value)
    if (!isRight) yield { path, kind: 'type', message: `${spoken(value)} stands where ${WORDS[type]} belongs${hint(value, type)}` }
  } else if (type.startsWith('[')) {
    if (!Array.isArray(value)) yield { path, kind: 'type', message: `${spoken(value)} stands where a list belongs` }
    else for (const [index, item] of value.entries()) yield* misfits(item, type.slice(1), [...path, index])
  } else if (typeof value !== 'object' || Array.isArray(value))
    yield { path, kind: 'type', message: `${spoken(value)} stands where a map belongs` }
  else if (type.startsWith('{')) for (const [key, item] of Object.entries(value)) yield* misfits(item, type.slice(1), [...path, key])
  else {
    const fields = fieldsOf(type)
    for (const [key, item] of Object.entries(value)) {
      const of = fields.get(key)
      if (of !== undefined) yield* misfits(item, of, [...path, key])
      else {
        const meant = nearest(key, [...fields.keys()])
        yield {
          path: [...path, key],
          kind: 'unknown',
          message: `there is no field ${key}${meant === undefined ? ` in ${type.split('.').at(-1)}` : `: did you mean ${meant}?`}`,
        }
      }
    }
  }
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  'number|string': 'a number or a text',
}

function spoken(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (value !== null && typeof value === 'object') return 'a map'
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : wordOf(value)
}

function hint(value: unknown, type: string): string {
  if (type === 'string' && typeof value !== 'object') return ': put it in quotes'
  return (type === 'integer' || type === 'boolean') && typeof value === 'string' ? ': leave out the quotes' : ''
}

function* misfitsOf(object: KubernetesObject, kind: Misfit['kind']): Generator<Break> {
  const type = KIND_TYPES[`${object.apiVersion}/${object.kind}`]
  if (type === undefined) return
  for (const one of misfits(object, type, [])) if (one.kind === kind) yield { object, path: one.path, message: one.message }
}

export const FORM_RULES: readonly Rule[] = [
  {
    id: 'removed-api',
    severity: 'error',
    what: 'Objects are of a version that the API still has.',
    why: 'The API refuses what it no longer knows: a release that worked before the cluster was upgraded does not work after it.',
    readMore: 'https://kubernetes.io/docs/reference/using-api/deprecation-guide/',
    *check({ objects }) {
      for (const object of objects) {
        const removed = REMOVED[`${object.apiVersion}/${object.kind}`]
        if (removed !== undefined)
          yield {
            object,
            path: ['apiVersion'],
            message: `${object.apiVersion} ${object.kind} is gone since ${removed.since}: use ${removed.instead}`,
          }
      }
    },
  },
  {
    id: 'unknown-field',
    severity: 'error',
    what: 'Fields of well-known kinds are fields that they have.',
    why: 'A misspelled field is refused by strict clients and dropped without a word by others: the probe or the limit that was meant is not there.',
    readMore: 'https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation',
    *check({ objects }) {
      for (const object of objects) yield* misfitsOf(object, 'unknown')
    },
  },
  {
    id: 'field-type',
    severity: 'error',
    what: 'Fields of well-known kinds have a value of their type.',
    why: 'The API refuses the whole object: a variable of the environment that YAML reads as a number or as true is the usual one.',
    readMore: 'https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation',
    *check({ objects }) {
      for (const object of objects) yield* misfitsOf(object, 'type')
    },
  },
  {
    id: 'declared-twice',
    severity: 'error',
    what: 'An object is declared once.',
    why: 'The second one is applied over the first, and which one that is hangs on the order of files.',
    readMore: 'https://kubernetes.io/docs/concepts/overview/working-with-objects/names/',
    *check({ objects }) {
      const seen = new Map<string, KubernetesObject[]>()
      for (const object of objects) {
        if (at(object, 'metadata', 'generateName') !== undefined) continue
        const key = keyOf({ ...object, metadata: { name: object.metadata.name } })
        const others = seen.get(key) ?? []
        if (others.some((one) => isBeside(one, object) && one.metadata.namespace === object.metadata.namespace))
          yield { object, path: ['metadata', 'name'], message: `${object.kind} ${object.metadata.name} is declared a second time` }
        seen.set(key, [...others, object])
      }
    },
  },
]
