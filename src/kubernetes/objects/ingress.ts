import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

const CLASS = 'nginx'

/** The way in through an ingress controller, with a limit for each client address where one is given (annotations of ingress-nginx). */
export function ingresses({ name, namespace, labels, options, traffic, requestSeconds }: ResolvedKubernetes): KubernetesObject[] {
  const { expose } = options
  if (expose?.by !== 'ingress') return []
  const { host, tlsSecret, requestsPerSecond } = expose
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: {
        name,
        namespace,
        labels,
        annotations: {
          // Longer than the server's own limit: the server says better why a request took too long.
          'nginx.ingress.kubernetes.io/proxy-read-timeout': String(requestSeconds + 5),
          'nginx.ingress.kubernetes.io/proxy-body-size': '64m',
          // A prediction that was begun is not begun again elsewhere.
          'nginx.ingress.kubernetes.io/proxy-next-upstream': 'error timeout',
          // To the address of the Service instead of to pods: shares are made by the proxy of the mesh beside the controller.
          ...(traffic !== 'service' && {
            'nginx.ingress.kubernetes.io/service-upstream': 'true',
            'nginx.ingress.kubernetes.io/upstream-vhost': `${name}.${namespace}.svc.cluster.local`,
          }),
          ...(requestsPerSecond !== undefined && {
            'nginx.ingress.kubernetes.io/limit-rps': String(requestsPerSecond),
            'nginx.ingress.kubernetes.io/limit-burst-multiplier': '2',
          }),
        },
      },
      spec: {
        ingressClassName: expose.class ?? CLASS,
        ...(tlsSecret !== undefined && { tls: [{ hosts: [host], secretName: tlsSecret }] }),
        rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name, port: { name: 'http' } } } }] } }],
      },
    },
  ]
}
