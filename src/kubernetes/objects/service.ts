import { PORTS } from '../labels.ts'
import { labelsOf } from '../resolve.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

const PORT_LIST = [
  { name: 'http', port: 80, targetPort: 'http', appProtocol: 'http' },
  { name: 'grpc', port: PORTS.grpc, targetPort: 'grpc', appProtocol: 'kubernetes.io/h2c' },
]

/**
 * The address of the endpoint, and one for each variant where somebody in front shares requests out. Whoever goes around a route comes to the
 * variant with the largest share, and never to a shadow; Istio alone has its subsets among the pods of the endpoint's own Service.
 */
export function services(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { name, namespace, labels, selector, options, workloads, traffic } = resolved
  const service = (own: string, ownLabels: typeof labels, ownSelector: typeof selector, type: string): KubernetesObject => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: own, namespace, labels: ownLabels },
    spec: { type, selector: ownSelector, ports: PORT_LIST },
  })
  const routed = traffic === 'gateway' || traffic === 'linkerd'
  const stable = workloads.find((workload) => workload.stable)?.selector ?? selector
  return [
    service(name, labels, routed ? stable : selector, options.service ?? 'ClusterIP'),
    ...(traffic === 'service'
      ? []
      : workloads.map((workload) => service(workload.name, labelsOf(resolved, workload), workload.selector, 'ClusterIP'))),
  ]
}
