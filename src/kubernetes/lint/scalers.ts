import { groupOf, isBeside, mapAt, textAt } from './values.ts'
import type { KubernetesObject } from '../object.ts'
import type { Manifests } from './rule.ts'

/** HPAs, and what KEDA makes some of. */
export function scalersOf({ objects }: Manifests): KubernetesObject[] {
  return objects.filter(
    (one) =>
      (one.kind === 'HorizontalPodAutoscaler' && groupOf(one) === 'autoscaling') ||
      (one.kind === 'ScaledObject' && groupOf(one) === 'keda.sh'),
  )
}

/** Kind and name of what is scaled. */
export function aimOf(scaler: KubernetesObject): { readonly kind: string; readonly name: string } {
  const { kind = 'Deployment', name = '' } = mapAt(scaler, 'spec', 'scaleTargetRef')
  return { kind: String(kind), name: String(name) }
}

/** What is scaled, where it is among the manifests. */
export function targetOf(scaler: KubernetesObject, { objects }: Manifests): KubernetesObject | undefined {
  const { kind, name } = aimOf(scaler)
  return objects.find((one) => one.kind === kind && textAt(one, 'metadata', 'name') === name && isBeside(one, scaler))
}
