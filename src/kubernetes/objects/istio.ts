import { matchesOf, shadowsOf, sharesOf } from './variant-traffic.ts'
import { VARIANT_LABEL } from '../labels.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

/** Istio's words for shares: subsets of the endpoint's Service, and how requests to it are divided among them. */
export function istioObjects(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { name, namespace, labels, traffic, workloads, requestSeconds } = resolved
  if (traffic !== 'istio') return []
  const host = `${name}.${namespace}.svc.cluster.local`
  const subset = (variant: string | undefined): object => ({ host, ...(variant !== undefined && { subset: variant }) })
  const shadows = shadowsOf(resolved).map(({ workload, percent }) => ({
    destination: subset(workload.variant?.name),
    percentage: { value: percent },
  }))
  // Whoever asks decides about asking again: a prediction may have been counted.
  const once = { retries: { attempts: 0 }, timeout: `${requestSeconds + 5}s` }
  return [
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { name, namespace, labels },
      spec: {
        host,
        subsets: workloads.map(({ variant }) => ({ name: variant!.name, labels: { [VARIANT_LABEL]: variant!.name } })),
        trafficPolicy: {
          loadBalancer: { simple: 'LEAST_REQUEST' },
          // A pod that does nothing but fail is left out for a while.
          outlierDetection: { consecutive5xxErrors: 5, interval: '10s', baseEjectionTime: '30s', maxEjectionPercent: 50 },
        },
      },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name, namespace, labels },
      spec: {
        hosts: [host],
        http: [
          ...matchesOf(resolved).map(({ workload, headers }) => ({
            match: [
              {
                headers: Object.fromEntries(
                  headers.map(({ name: header, value }) => [
                    header.toLowerCase(),
                    value === undefined ? { regex: '.*' } : { exact: value },
                  ]),
                ),
              },
            ],
            route: [{ destination: subset(workload.variant?.name) }],
            ...once,
          })),
          {
            route: sharesOf(resolved).map(({ workload, weight }) => ({ destination: subset(workload.variant?.name), weight })),
            ...(shadows.length > 0 && { mirrors: shadows }),
            ...once,
          },
        ],
      },
    },
  ]
}
