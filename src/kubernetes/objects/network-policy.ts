import { METRICS_ADAPTER, PORTS } from '../labels.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

/** Where clusters keep their name server, and where ingress controllers and meshes commonly lie. */
const DNS_NAMESPACE = 'kube-system'
const GATEWAYS = { ingress: 'ingress-nginx', gateway: 'gateway-system', istio: 'istio-system', linkerd: 'linkerd' } as const
const MONITORING = 'monitoring'

/** Who may reach the pods, and whom they may reach: everything else is cut. */
export function networkPolicies(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { name, namespace, labels, selector, options, model } = resolved
  const policy = options.networkPolicy ?? {}
  if (policy === false) return []
  const from = policy.from ?? (isOpen(resolved) ? undefined : [namespace, ...gatewaysOf(resolved)])
  const http = [
    { protocol: 'TCP', port: PORTS.http },
    { protocol: 'TCP', port: PORTS.grpc },
  ]
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name, namespace, labels },
      spec: {
        podSelector: { matchLabels: selector },
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          { ...(from !== undefined && { from: [...new Set(from)].map(namespacePeer) }), ports: http },
          // Metrics are read from the port of the predictions.
          { from: [namespacePeer(policy.monitoring ?? MONITORING), ...metricsAdapter(resolved)], ports: http.slice(0, 1) },
        ],
        egress: [
          {
            to: [namespacePeer(DNS_NAMESPACE)],
            ports: [
              { protocol: 'UDP', port: 53 },
              { protocol: 'TCP', port: 53 },
            ],
          },
          ...meshEgress(resolved),
          ...(model.from === 'control-plane' ? [controlPlane(model.address, namespace)] : []),
          ...(policy.egress === undefined ? [] : [{ to: policy.egress.map((cidr) => ({ ipBlock: { cidr } })) }]),
        ],
      },
    },
  ]
}

/** Who reads the numbers by which the pods are scaled, where they are. */
function metricsAdapter({ scaler, spec }: ResolvedKubernetes): object[] {
  if (scaler !== 'hpa' || (spec.autoscaling?.metric ?? 'cpu') === 'cpu') return []
  return [{ ...namespacePeer(METRICS_ADAPTER.namespace), podSelector: { matchLabels: { 'app.kubernetes.io/name': METRICS_ADAPTER.name } } }]
}

/** Whether clients outside of the cluster reach the pods themselves: their addresses are in no namespace. */
function isOpen({ options: { service } }: ResolvedKubernetes): boolean {
  return service === 'LoadBalancer' || service === 'NodePort'
}

/** A proxy beside the server asks those of its mesh for certificates and routes, without which it lets nothing through. */
function meshEgress({ traffic }: ResolvedKubernetes): object[] {
  return traffic === 'istio' || traffic === 'linkerd' ? [{ to: [namespacePeer(GATEWAYS[traffic])] }] : []
}

function namespacePeer(namespace: string): object {
  return { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } } }
}

function gatewaysOf({ options: { expose }, traffic }: ResolvedKubernetes): string[] {
  const outside = expose === undefined ? [] : [expose.by === 'gateway' ? (expose.gateway?.namespace ?? GATEWAYS.gateway) : GATEWAYS.ingress]
  return traffic === 'istio' ? [...outside, GATEWAYS.istio] : outside
}

/** The namespace of an address inside the cluster (`slipway.prod.svc`), else the port alone, as policies know no names. */
function controlPlane(address: string, own: string): object {
  const { hostname, port, protocol } = new URL(address)
  const ports = [{ protocol: 'TCP', port: Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port) }]
  const [, namespace, kind] = hostname.split('.')
  if (namespace === undefined) return { to: [namespacePeer(own)], ports }
  return kind === 'svc' ? { to: [namespacePeer(namespace)], ports } : { ports }
}
