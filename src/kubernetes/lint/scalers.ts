import { groupOf, isBeside, mapAt, wordOf } from './values.ts'
import type { KubernetesObject } from '../object.ts'
import type { Manifests } from './manifests.ts'

/** HPAs, and what KEDA makes some of. */
export function scalersOf({ ofKind }: Manifests): KubernetesObject[] {
  return [
    ...ofKind('HorizontalPodAutoscaler').filter((one) => groupOf(one) === 'autoscaling'),
    ...ofKind('ScaledObject').filter((one) => groupOf(one) === 'keda.sh'),
  ]
}

/** Kind and name of what is scaled. */
export function aimOf(scaler: KubernetesObject): { readonly kind: string; readonly name: string } {
  const { kind = 'Deployment', name = '' } = mapAt(scaler, 'spec', 'scaleTargetRef')
  return { kind: wordOf(kind), name: wordOf(name) }
}

/** What is scaled, where it is among the manifests. */
export function targetOf(scaler: KubernetesObject, { named }: Manifests): KubernetesObject | undefined {
  const { kind, name } = aimOf(scaler)
  return named(kind, name).find((one) => isBeside(one, scaler))
}

const byTarget = new WeakMap<Manifests, ReadonlyMap<KubernetesObject, KubernetesObject>>()

/** Who scales an object, where something does. */
export function scalerOf(target: KubernetesObject, manifests: Manifests): KubernetesObject | undefined {
  let found = byTarget.get(manifests)
  if (found === undefined) {
    const pairs = scalersOf(manifests).map((scaler) => [targetOf(scaler, manifests), scaler] as const)
    byTarget.set(manifests, (found = new Map(pairs.flatMap(([of, scaler]) => (of === undefined ? [] : [[of, scaler] as const])))))
  }
  return found.get(target)
}
