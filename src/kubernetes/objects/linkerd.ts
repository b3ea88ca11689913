import { sharesOf } from './variant-traffic.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

/**
 * Linkerd's words: an HTTPRoute on the Service of the endpoint shares requests out; a ServiceProfile names routes for its metrics, and says
 * that a prediction is not asked for twice.
 */
export function linkerdObjects(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { name, namespace, labels, traffic, requestSeconds } = resolved
  if (traffic !== 'linkerd') return []
  return [
    {
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'HTTPRoute',
      metadata: { name, namespace, labels },
      spec: {
        parentRefs: [{ group: 'core', kind: 'Service', name, port: 80 }],
        rules: [
          {
            backendRefs: sharesOf(resolved).map(({ workload, weight }) => ({ name: workload.name, port: 80, weight })),
            timeouts: { request: `${requestSeconds + 5}s` },
          },
        ],
      },
    },
    // By the variants' Services: routes of a ServiceProfile would take the place of the HTTPRoute for the endpoint's own.
    ...resolved.workloads.map((workload) => ({
      apiVersion: 'linkerd.io/v1alpha2',
      kind: 'ServiceProfile',
      metadata: { name: `${workload.name}.${namespace}.svc.cluster.local`, namespace, labels },
      spec: {
        routes: [
          {
            name: 'predict',
            condition: { method: 'POST', pathRegex: '/predict|/models/[^/]+/predict|/v2/models/.*infer' },
            isRetryable: false,
          },
          { name: 'health', condition: { method: 'GET', pathRegex: '/ready|/v2/health/.*' }, isRetryable: true },
        ],
      },
    })),
  ]
}
