import type { ResolvedSpec } from '../contract/endpoint.ts'
import type { KubernetesOptions } from '../contract/kubernetes.ts'

/** Who sets the number of pods. */
export type Scaler = 'hpa' | 'keda'

/** An HPA, which every cluster has, unless what is asked for needs KEDA. */
export function scalerOf({ minReplicas }: NonNullable<ResolvedSpec['autoscaling']>, { scaling = {} }: KubernetesOptions): Scaler {
  if (scaling.by !== undefined) return scaling.by
  const needsKeda = scaling.schedule !== undefined || scaling.kafka !== undefined || scaling.prometheus !== undefined
  return needsKeda || minReplicas === 0 ? 'keda' : 'hpa'
}
