import { podTemplateOf } from './pod-templates.ts'
import { at, hasLabels, isBeside, mapAt, selects, textAt, wordOf } from './values.ts'
import type { KubernetesObject } from '../object.ts'
import type { PodTemplate } from './pod-templates.ts'

/** What is linted together, found by what rules ask for: with thousands of objects no rule may look at all pairs. */
export interface Manifests {
  readonly objects: readonly KubernetesObject[]
  /** Pods, and the templates of pods of objects that make some. */
  readonly pods: readonly PodTemplate[]
  readonly ofKind: (kind: string) => readonly KubernetesObject[]
  readonly named: (kind: string, name: string) => readonly KubernetesObject[]
  /** Pods beside an object that its label selector matches. */
  readonly podsOf: (object: KubernetesObject, selector: unknown) => readonly PodTemplate[]
  /** Policies of the network that select a pod. */
  readonly policiesOf: (pod: PodTemplate) => readonly KubernetesObject[]
  /** Whether a Service sends requests to a pod. */
  readonly isReached: (pod: PodTemplate) => boolean
  /** Text of all ConfigMaps. */
  readonly configText: () => string
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: make() }).value
}

/** `spec.selector` of a Service, as label selectors are elsewhere. @returns undefined where it selects nothing by itself */
export function serviceSelector(service: KubernetesObject | undefined): object | undefined {
  const matchLabels = mapAt(service, 'spec', 'selector')
  return Object.keys(matchLabels).length === 0 || textAt(service, 'spec', 'type') === 'ExternalName' ? undefined : { matchLabels }
}

export function manifestsOf(objects: readonly KubernetesObject[]): Manifests {
  const pods = objects.flatMap((object) => podTemplateOf(object) ?? [])
  const kinds = Map.groupBy(objects, ({ kind }) => kind)
  const names = Map.groupBy(objects, ({ kind, metadata }) => `${kind}/${metadata.name}`)
  const ofKind = (kind: string): readonly KubernetesObject[] => kinds.get(kind) ?? []

  const labelled = new Map<string, PodTemplate[]>()
  for (const pod of pods)
    for (const [key, value] of Object.entries(pod.labels)) {
      const pair = `${key}=${wordOf(value)}`
      const others = labelled.get(pair)
      if (others === undefined) labelled.set(pair, [pod])
      else others.push(pod)
    }
  const podsOf: Manifests['podsOf'] = (object, selector) => {
    const labels = mapAt(selector, 'matchLabels')
    // The rarest of the labels leaves the fewest to look at.
    const candidates = Object.entries(labels)
      .map(([key, value]) => labelled.get(`${key}=${wordOf(value)}`) ?? [])
      .reduce<readonly PodTemplate[]>((fewest, some) => (some.length < fewest.length ? some : fewest), pods)
    return candidates.filter((pod) => isBeside(pod.object, object) && hasLabels(pod.labels, labels) && selects(selector, pod.labels))
  }

  const policies = once(() => {
    const found = new Map<PodTemplate, KubernetesObject[]>()
    for (const policy of ofKind('NetworkPolicy'))
      for (const pod of podsOf(policy, at(policy, 'spec', 'podSelector'))) {
        const others = found.get(pod)
        if (others === undefined) found.set(pod, [policy])
        else others.push(policy)
      }
    return found
  })
  const reached = once(() => {
    const found = new Set<PodTemplate>()
    for (const service of ofKind('Service')) {
      const selector = serviceSelector(service)
      if (selector !== undefined) for (const pod of podsOf(service, selector)) found.add(pod)
    }
    return found
  })
  return {
    objects,
    pods,
    ofKind,
    named: (kind, name) => names.get(`${kind}/${name}`) ?? [],
    podsOf,
    policiesOf: (pod) => policies().get(pod) ?? [],
    isReached: (pod) => reached().has(pod),
    configText: once(() => JSON.stringify(ofKind('ConfigMap').map((object) => object['data'] ?? {}))),
  }
}
