import { labelsOf } from '../resolve.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

/** One pod at a time may be moved. None for a single pod: nodes could never be drained. */
export function disruptionBudgets(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { namespace, spec, workloads } = resolved
  const least = spec.autoscaling?.minReplicas ?? spec.replicas
  if (least < 2) return []
  return workloads.map((workload) => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: workload.name, namespace, labels: labelsOf(resolved, workload) },
    spec: { maxUnavailable: 1, selector: { matchLabels: workload.selector }, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
  }))
}
