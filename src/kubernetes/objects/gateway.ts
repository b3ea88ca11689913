import { matchesOf, shadowsOf, sharesOf } from './variant-traffic.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'

/** An HTTPRoute (Gateway API v1): from a Gateway to the endpoint, or inside the cluster (GAMMA) from its Service to the variants. */
export function httpRoutes(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { name, namespace, labels, options, traffic, requestSeconds } = resolved
  const outside = options.expose?.by === 'gateway' ? options.expose : undefined
  if (outside === undefined && traffic !== 'gateway') return []
  // A Gateway knows nothing of the routes of a mesh behind it: it has the same shares itself.
  const shared = traffic !== 'service'
  const gateway = outside?.gateway
  const parent =
    gateway === undefined
      ? { group: '', kind: 'Service', name, port: 80 }
      : {
          group: 'gateway.networking.k8s.io',
          kind: 'Gateway',
          name: gateway.name,
          ...(gateway.namespace !== undefined && { namespace: gateway.namespace }),
        }
  return [
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name, namespace, labels },
      spec: {
        parentRefs: [parent],
        ...(outside !== undefined && { hostnames: [outside.host] }),
        rules: [
          ...(shared
            ? matchesOf(resolved).map(({ workload, headers }) => ({
                matches: [
                  {
                    path: { type: 'PathPrefix', value: '/' },
                    headers: headers.map(({ name: header, value }) =>
                      value === undefined
                        ? { type: 'RegularExpression', name: header, value: '.*' }
                        : { type: 'Exact', name: header, value },
                    ),
                  },
                ],
                backendRefs: [backend(workload, 1)],
                timeouts: { request: `${requestSeconds + 5}s` },
              }))
            : []),
          {
            matches: [{ path: { type: 'PathPrefix', value: '/' } }],
            ...filtersOf(resolved),
            backendRefs: shared
              ? sharesOf(resolved).map(({ workload, weight }) => backend(workload, weight))
              : [{ group: '', kind: 'Service', name, port: 80, weight: 1 }],
            timeouts: { request: `${requestSeconds + 5}s` },
          },
        ],
      },
    },
  ]
}

function backend({ name }: Workload, weight: number): object {
  return { group: '', kind: 'Service', name, port: 80, weight }
}

function filtersOf(resolved: ResolvedKubernetes): object {
  const shadows = resolved.traffic === 'service' ? [] : shadowsOf(resolved)
  if (shadows.length === 0) return {}
  return {
    filters: shadows.map(({ workload, percent }) => ({
      type: 'RequestMirror',
      requestMirror: {
        backendRef: { group: '', kind: 'Service', name: workload.name, port: 80 },
        ...(Number.isInteger(percent) ? { percent } : { fraction: { numerator: Math.round(percent * 100), denominator: 10_000 } }),
      },
    })),
  }
}
