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
  // Who is let in by name comes beside the way in that the endpoint asks for itself.
  const within = policy.from ?? (isOpen(resolved) ? undefined : [namespace])
  const from = within === undefined ? undefined : [...within, ...gatewaysOf(resolved)]
  const http = [
    { protocol: 'TCP', port: PORTS.http },
    { protocol: 'TCP', port: PORTS.grpc },
  ]
  const mesh = meshPorts(resolved)
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name, namespace, labels },
      spec: {
        podSelector: { matchLabels: selector },
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          { ...(from !== undefined && { from: [...new Set(from)].map(namespacePeer) }), ports: [...http, ...mesh] },
          // Metrics are read from the port of the predictions.
          { from: [namespacePeer(policy.monitoring ?? MONITORING), ...metricsAdapter(resolved)], ports: [...http.slice(0, 1), ...mesh] },
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

/** Where proxies of a mesh reach each other, whatever the port of the server is: Linkerd since 2.18, Istio without sidecars. */
const MESH_PORTS = { istio: 15_008, linkerd: 4143 } as const

function meshPorts({ traffic }: ResolvedKubernetes): object[] {
  return traffic === 'istio' || traffic === 'linkerd' ? [{ protocol: 'TCP', port: MESH_PORTS[traffic] }] : []
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
  // Policies see the port of the pod, which is not that of the Service: inside of the cluster any.
  const [, namespace, kind] = hostname.split('.')
  if (namespace === undefined && !hostname.startsWith('[')) return { to: [namespacePeer(own)] }
  return namespace !== undefined && kind === 'svc' ? { to: [namespacePeer(namespace)] } : { ports }
}
