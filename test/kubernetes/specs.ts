/** Endpoints of every kind that Kubernetes can have: what is rendered of them is held against the types here, and a real API server. */
import type { EndpointDocument, EndpointSpec } from '../../src/contract/endpoint.ts'
import type { KubernetesOptions } from '../../src/contract/kubernetes.ts'

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`
export const IMAGE = `images.example/churn@${digest('a')}`
const NEXT = `images.example/churn@${digest('b')}`
const SERVER = `images.example/slipway@${digest('c')}`

const ONE: EndpointSpec['variants'] = [{ model: 'churn/1' }]
const TWO: EndpointSpec['variants'] = [
  { name: 'main', model: 'churn/1', weight: 90 },
  { name: 'next', model: 'churn/2', weight: 10 },
]
const IMAGES = { main: IMAGE, next: NEXT }
const FOLLOWS: KubernetesOptions['model'] = { from: 'control-plane', address: 'http://slipway.slipway.svc:8480', joinToken: 'slipway-join' }

type Rest = Omit<EndpointSpec, 'variants' | 'target' | 'kubernetes'>

const one = (kubernetes: KubernetesOptions = {}, rest: Rest = {}): EndpointSpec => ({
  ...rest,
  target: 'kubernetes',
  variants: ONE,
  kubernetes: { image: IMAGE, ...kubernetes },
})
const two = (kubernetes: KubernetesOptions, rest: Rest = {}, variants = TWO): EndpointSpec => ({
  ...rest,
  target: 'kubernetes',
  variants,
  kubernetes: { images: IMAGES, ...kubernetes },
})
const scaled = (minReplicas: number, metric?: 'cpu' | 'rps' | 'concurrency' | 'queue', targetValue?: number): Rest => ({
  autoscaling: { minReplicas, maxReplicas: 20, ...(metric !== undefined && { metric }), ...(targetValue !== undefined && { targetValue }) },
})
const withTraffic = (traffic: 'gateway' | 'istio' | 'linkerd', variants = TWO): EndpointSpec => two({ traffic }, { replicas: 2 }, variants)
const shadowed: EndpointSpec['variants'] = [
  { name: 'main', model: 'churn/1' },
  { name: 'next', model: 'churn/2', shadow: 12.5 },
]
const matched: EndpointSpec['variants'] = [
  { name: 'main', model: 'churn/1' },
  {
    name: 'next',
    model: 'churn/2',
    match: [
      { header: 'X-Tester', is: 'yes' },
      {
        all: [
          { header: 'x-team', is: '*' },
          { header: 'x-site', is: 'eu' },
        ],
      },
    ],
  },
]
const fine: EndpointSpec['variants'] = [
  { name: 'main', model: 'churn/1', weight: 99.75 },
  { name: 'next', model: 'churn/2', weight: 0.25 },
]

const SPECS: Readonly<Record<string, EndpointSpec>> = {
  'one pod': one(),
  'three pods': one({}, { replicas: 3 }),
  'no pod': one({}, { replicas: 0 }),
  'a namespace of its own': one({ namespace: 'prod' }, { replicas: 2 }),
  'small resources': one({ resources: { cpu: '250m', memory: '512Mi' } }),
  'a limit of cores': one({ resources: { cpu: '2', memory: '2Gi', cpuLimit: '4' } }),
  'options of serving': one(
    {},
    { overlays: { kubernetes: { replicas: 2, serving: { maxBatchSize: 64, threads: 2, requestTimeoutMs: 60_000 } } } },
  ),
  'a slow start': one({ startTimeout: '30m', drain: '20s' }),
  'a rolling update in percents': one({ rollingUpdate: { maxSurge: '25%', maxUnavailable: 0 } }, { replicas: 8 }),
  'a load balancer': one({ service: 'LoadBalancer' }),
  'a port of the nodes': one({ service: 'NodePort' }),
  'a registry with a password': one({ imagePullSecret: 'registry' }),
  'an identity of a cloud': one({ serviceAccount: 'churn', priorityClass: 'high' }),
  'nodes by label and taint': one({
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'team', operator: 'Equal', value: 'ml', effect: 'NoSchedule' }],
  }),
  'a whole device': one({ gpu: {} }),
  'devices of some nodes': one({ gpu: { count: 2, nodeSelector: { 'nvidia.com/gpu.product': 'NVIDIA-L4' } } }),
  'a part of a device': one({ gpu: { mig: '1g.10gb' } }),
  'a device shared by turns': one({ gpu: { timeSlicing: 4 } }, { replicas: 2 }),
  'nodes of EKS that may go': two({ traffic: 'gateway', spot: 'eks' }),
  'nodes of Karpenter that may go': two({ traffic: 'gateway', spot: 'karpenter' }),
  'nodes of GKE that may go': two({ traffic: 'istio', spot: 'gke' }),
  'nodes of AKS that may go': two({ traffic: 'istio', spot: 'aks' }),
  'scaled by cores': one({}, scaled(2)),
  'scaled by requests': one({ scaling: { scaleDownSeconds: 60 } }, scaled(2, 'rps', 50)),
  'scaled by requests in flight': one({}, scaled(1, 'concurrency', 2.5)),
  'scaled by the queue': one({}, scaled(1, 'queue', 10)),
  'scaled by a metric of others': one(
    { scaling: { external: { metric: 'queue_depth', selector: { queue: 'churn' }, averageValue: '30' } } },
    scaled(1),
  ),
  'scaled by KEDA and a Prometheus': one({ scaling: { prometheus: 'http://prometheus.monitoring:9090' } }, scaled(2, 'rps', 50)),
  'scaled by the lag of Kafka': one(
    { scaling: { kafka: { bootstrapServers: 'kafka:9092', consumerGroup: 'churn', topic: 'customers', lagThreshold: 100 } } },
    scaled(0),
  ),
  'scaled by times': one(
    { scaling: { schedule: [{ start: '0 8 * * 1-5', end: '0 20 * * 1-5', timeZone: 'Europe/Berlin', replicas: 10 }] } },
    scaled(0),
  ),
  'an ingress with a limit': one({ expose: { by: 'ingress', host: 'churn.example', tlsSecret: 'churn-tls', requestsPerSecond: 20 } }),
  'an ingress of another class': one({ expose: { by: 'ingress', host: 'churn.example', class: 'internal' } }),
  'a gateway': one({ expose: { by: 'gateway', host: 'churn.example', gateway: { name: 'public', namespace: 'gateways' } } }),
  'shares by a gateway': two({
    traffic: 'gateway',
    expose: { by: 'gateway', host: 'churn.example', gateway: { name: 'public' } },
  }),
  'shares inside the cluster': withTraffic('gateway'),
  'shares of a quarter of a percent': withTraffic('gateway', fine),
  'a shadow by a gateway': withTraffic('gateway', shadowed),
  'testers by a gateway': withTraffic('gateway', matched),
  'shares by Istio': withTraffic('istio'),
  'fine shares by Istio': withTraffic('istio', fine),
  'a shadow by Istio': withTraffic('istio', shadowed),
  'testers by Istio': withTraffic('istio', matched),
  'shares by Linkerd': withTraffic('linkerd'),
  'the model in a volume': {
    target: 'kubernetes',
    variants: ONE,
    kubernetes: { image: SERVER, model: { from: 'volume', images: { main: IMAGE } } },
  },
  'servers that follow': { target: 'kubernetes', variants: TWO, replicas: 3, kubernetes: { image: SERVER, model: FOLLOWS } },
  'servers that follow, by alias': {
    target: 'kubernetes',
    variants: [{ model: 'churn@champion' }],
    ...scaled(2, 'rps', 100),
    kubernetes: { image: SERVER, model: { ...FOLLOWS, environment: 'production' } },
  },
  'a network of its own': one({ networkPolicy: { from: ['shop'], monitoring: 'observability', egress: ['10.0.0.0/8'] } }),
  'no policy of the network': one({ networkPolicy: false }),
  'monitors and alarms': one({ monitoring: { labels: { release: 'prometheus' }, latencyMs: 250 } }),
  'monitors of the Service': one({ monitoring: { by: 'service' } }),
  'monitors of the Services of variants': two({ traffic: 'istio', monitoring: { by: 'service' } }),
  'secrets of Vault': one({
    secrets: [
      { variable: 'SLIPWAY_API_KEYS', secret: 'churn', key: 'keys', external: { store: 'vault', key: 'prod/churn', property: 'keys' } },
      { variable: 'TOKEN', secret: 'shared', key: 'token' },
    ],
  }),
  'rules of Falco': one({ falco: true }),
  'labels and variables': one({
    labels: { team: 'retention' },
    annotations: { 'example.com/owner': 'retention' },
    environment: { SLIPWAY_LOG_ACCESS: 'true' },
  }),
  'no pause before the end': one({ drain: '0s' }),
  'monitors with a key': one({
    monitoring: { keySecret: 'churn-scrape' },
    secrets: [{ variable: 'SLIPWAY_API_KEYS', secret: 'churn', key: 'keys' }],
  }),
  'two shadows by Istio': {
    target: 'kubernetes',
    variants: [...shadowed, { name: 'last', model: 'churn/3', shadow: 0.5 }],
    kubernetes: { traffic: 'istio', images: { ...IMAGES, last: SERVER } },
  },
  'shares by Istio behind a gateway': two({
    traffic: 'istio',
    expose: { by: 'gateway', host: 'churn.example', gateway: { name: 'public' } },
  }),
  'shares by Linkerd behind an ingress': two({ traffic: 'linkerd', expose: { by: 'ingress', host: 'churn.example' } }),
  'scaled by the queue, behind a load balancer': one({ service: 'LoadBalancer' }, scaled(2, 'queue', 5)),
  'a variant with a long name': {
    target: 'kubernetes',
    variants: [{ name: 'v'.repeat(22), model: 'churn/1' }],
    replicas: 2,
    kubernetes: { image: IMAGE, labels: { 'example.com/team': '' } },
  },
}

/** Names of endpoints that are none of objects, beside plain ones. */
const NAMES: Readonly<Record<string, string>> = {
  'one pod': 'Churn_Model.v2',
  'three pods': '2-fast',
  'shares by Istio': `long-${'x'.repeat(100)}`,
  'a variant with a long name': `Long.${'y'.repeat(200)}.`,
}

/** By what is special about each. */
export const KUBERNETES_ENDPOINTS: ReadonlyMap<string, EndpointDocument> = new Map(
  Object.entries(SPECS).map(([what, spec], index) => [
    what,
    { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: NAMES[what] ?? `churn-${index}` }, spec },
  ]),
)
