import type { KubernetesObject } from '../kubernetes/object.ts'

/** What others need comes first; what sends requests or scales comes when there is something to. */
const ORDER = [
  'Namespace',
  'NetworkPolicy',
  'ServiceAccount',
  'SecretStore',
  'ExternalSecret',
  'Secret',
  'ConfigMap',
  'Role',
  'RoleBinding',
  'Service',
  'PodDisruptionBudget',
  'Deployment',
  'HorizontalPodAutoscaler',
  'ScaledObject',
  'PodMonitor',
  'ServiceMonitor',
  'PrometheusRule',
  'DestinationRule',
  'ServiceProfile',
  'VirtualService',
  'HTTPRoute',
  'GRPCRoute',
  'Ingress',
]

/** Objects in the order in which they are applied; they are removed in the reverse one. */
export function inOrder<T extends KubernetesObject>(objects: readonly T[]): T[] {
  const place = ({ kind }: T): number => {
    const at = ORDER.indexOf(kind)
    return at < 0 ? ORDER.indexOf('Service') + 0.5 : at
  }
  return objects.toSorted((a, b) => place(a) - place(b))
}
