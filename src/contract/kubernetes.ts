import { Type } from 'typebox'
import type { Static } from 'typebox'
import { DURATION, oneOf } from './schema.ts'

const closed = { additionalProperties: false } as const

/** Quantities as Kubernetes writes them: 500m, 2, 1.5Gi. */
const Quantity = (description: string) =>
  Type.String({ pattern: '^[0-9]+(\\.[0-9]+)?(m|k|[MGTPE]|[KMGTPE]i)?$', maxLength: 30, description })
/** Without thousandths: 512m of memory is half a byte. */
const MemoryQuantity = (description: string) =>
  Type.String({ pattern: '^[0-9]+(\\.[0-9]+)?(k|[MGTPE]|[KMGTPE]i)?$', maxLength: 30, description })
const CpuQuantity = (description: string) => Type.String({ pattern: '^([0-9]+m|[0-9]+(\\.[0-9]{1,3})?)$', maxLength: 12, description })
const Duration = (description: string) => Type.String({ pattern: DURATION, description })
const Name = (description: string) => Type.String({ pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$', maxLength: 253, description })
const Text = (description: string) => Type.String({ minLength: 1, maxLength: 2000, description })
const CronLine = (description: string) => Type.String({ pattern: '^\\S+( +\\S+){4}$', maxLength: 200, description })
const Words = (description: string) =>
  Type.Record(Type.String({ maxLength: 317 }), Type.String({ maxLength: 4096 }), { description, maxProperties: 100 })

const Toleration = Type.Object(
  {
    key: Type.Optional(Type.String({ maxLength: 317 })),
    operator: Type.Optional(oneOf(['Exists', 'Equal'])),
    value: Type.Optional(Type.String({ maxLength: 63 })),
    effect: Type.Optional(oneOf(['NoSchedule', 'PreferNoSchedule', 'NoExecute'])),
  },
  closed,
)

/** Where pods get the versions that they serve. */
const ModelSource = Type.Union(
  [
    Type.Object({ from: Type.Literal('image') }, { ...closed, description: 'The image has the model inside: `slipway build`.' }),
    Type.Object(
      {
        from: Type.Literal('volume'),
        images: Type.Record(Type.String(), Type.String({ minLength: 1 }), {
          description: 'By variant, the plain image of its model, mounted as an image volume (Kubernetes 1.35, or the gate ImageVolume).',
        }),
      },
      closed,
    ),
    Type.Object(
      {
        from: Type.Literal('control-plane'),
        address: Text('Address of the control plane, as pods reach it.'),
        joinToken: Name('Secret whose key `token` has the join token.'),
        environment: Type.Optional(Text('Default: the first of the control plane.')),
      },
      { ...closed, description: 'Servers follow the control plane: rollouts move weights in their router, or in the mesh.' },
    ),
  ],
  { description: 'Where pods get the versions that they serve. Default: image.' },
)

const Gpu = Type.Object(
  {
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 16, description: 'Devices of one pod. Default: 1.' })),
    mig: Type.Optional(
      Type.String({
        pattern: '^[0-9]+g\\.[0-9]+gb$',
        description: 'Part of a device, such as 1g.10gb (nvidia.com/mig-1g.10gb, strategy mixed).',
      }),
    ),
    timeSlicing: Type.Optional(
      Type.Integer({
        minimum: 2,
        maximum: 64,
        description: 'Pods that share one device by turns; a ConfigMap for the device plugin comes with it. Memory is not kept apart.',
      }),
    ),
    nodeSelector: Type.Optional(Words('Labels of the nodes that have the devices. Default: none.')),
  },
  { ...closed, description: 'Devices of NVIDIA. Default: none.' },
)

const Expose = Type.Object(
  {
    by: oneOf(['ingress', 'gateway'], { description: 'An Ingress (ingress-nginx), or an HTTPRoute of the Gateway API.' }),
    host: Type.String({ pattern: '^[a-z0-9*]([-a-z0-9.]*[a-z0-9])?$', description: 'Host name of the clients.' }),
    class: Type.Optional(Name('Class of the Ingress. Default: nginx.')),
    gateway: Type.Optional(
      Type.Object(
        { name: Name('Gateway that the route hangs on.'), namespace: Type.Optional(Name('Default: that of the endpoint.')) },
        closed,
      ),
    ),
    tlsSecret: Type.Optional(Name('Secret with the certificate of the host (Ingress). Default: none.')),
    requestsPerSecond: Type.Optional(
      Type.Integer({ minimum: 1, description: 'What one client address may ask (Ingress). Default: no limit.' }),
    ),
  },
  { ...closed, description: 'How clients outside of the cluster come in. Default: they do not.' },
)

const ScheduledScale = Type.Object(
  {
    start: CronLine('Cron line at which the window begins, such as `0 8 * * 1-5`.'),
    end: CronLine('Cron line at which it ends.'),
    timeZone: Type.Optional(Text('IANA name. Default: UTC.')),
    replicas: Type.Integer({ minimum: 0, maximum: 10_000, description: 'Pods of each variant in the window, at least.' }),
  },
  closed,
)

const Scaling = Type.Object(
  {
    by: Type.Optional(oneOf(['hpa', 'keda'], { description: 'Who scales. Default: hpa, and keda with `schedule` or `kafka`.' })),
    schedule: Type.Optional(
      Type.Array(ScheduledScale, { maxItems: 20, description: 'Windows with a number of pods (KEDA). Default: none.' }),
    ),
    kafka: Type.Optional(
      Type.Object(
        {
          bootstrapServers: Text('HOST:PORT, separated by commas.'),
          consumerGroup: Text('Whose lag counts.'),
          topic: Text('Whose lag counts.'),
          lagThreshold: Type.Integer({ minimum: 1, description: 'Messages behind for each pod.' }),
        },
        { ...closed, description: 'Scaling by what is left to read (KEDA). Default: none.' },
      ),
    ),
    external: Type.Optional(
      Type.Object(
        {
          metric: Text('Name of a metric of external.metrics.k8s.io.'),
          selector: Type.Optional(Words('Labels that it is chosen by. Default: none.')),
          averageValue: Quantity('What each pod is to have of it.'),
        },
        { ...closed, description: 'Scaling by a metric of others. Default: none.' },
      ),
    ),
    prometheus: Type.Optional(
      Text('Address of a Prometheus that KEDA asks for requests and queues. Default: none, the metrics API of `slipway metrics-adapter`.'),
    ),
    scaleDownSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3600,
        description: 'How long fewer pods must have been enough before there are fewer. Default: 300.',
      }),
    ),
  },
  { ...closed, description: 'Beside `autoscaling`: who scales, and by what else.' },
)

const ExternalSecret = Type.Object(
  {
    store: Name('Name of the SecretStore.'),
    storeKind: Type.Optional(oneOf(['SecretStore', 'ClusterSecretStore'], { description: 'Default: SecretStore.' })),
    key: Text('Of the entry in the store, such as `prod/churn`.'),
    property: Type.Optional(Text('Field of the entry. Default: all of it.')),
  },
  { ...closed, description: 'Where the External Secrets Operator finds it. Default: somebody else makes the Secret.' },
)

const SecretVariable = Type.Object(
  {
    variable: Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$', description: 'Name of the variable of the environment.' }),
    secret: Name('Name of the Secret.'),
    key: Text('Key in it.'),
    external: Type.Optional(ExternalSecret),
  },
  closed,
)

/** How an endpoint runs on Kubernetes. A value of a secret never stands here. */
export const KubernetesOptions = Type.Object(
  {
    namespace: Type.Optional(Name('Default: default.')),
    image: Type.Optional(Text('Image of the pods, best by digest (REPOSITORY@sha256:...). Each variant needs one, here or in `images`.')),
    images: Type.Optional(Words('Images of single variants, by name. Default: `image`.')),
    imagePullSecret: Type.Optional(Name('Secret for a registry that asks for one. Default: none.')),
    model: Type.Optional(ModelSource),
    resources: Type.Optional(
      Type.Object(
        {
          cpu: Type.Optional(CpuQuantity('Cores that a pod asks for. Default: 1.')),
          memory: Type.Optional(MemoryQuantity('Memory that a pod asks for and is limited to. Default: 1Gi.')),
          cpuLimit: Type.Optional(
            CpuQuantity('Cores that a pod may have at most. Default: no limit, as throttled threads make slow answers.'),
          ),
        },
        closed,
      ),
    ),
    gpu: Type.Optional(Gpu),
    spot: Type.Optional(
      oneOf(['eks', 'karpenter', 'gke', 'aks'], {
        description:
          'Nodes that may be taken away are preferred, by the labels of this provider; the variant with the largest share stays off them. Default: none.',
      }),
    ),
    nodeSelector: Type.Optional(Words('Labels of the nodes. Default: none.')),
    tolerations: Type.Optional(
      Type.Array(Toleration, { maxItems: 50, description: 'Taints that pods bear. Default: none but those of `gpu` and `spot`.' }),
    ),
    priorityClass: Type.Optional(Name('Default: none.')),
    serviceAccount: Type.Optional(
      Name('Whose identity pods have, such as for a cloud. Default: that of the namespace, without its token.'),
    ),
    rollingUpdate: Type.Optional(
      Type.Object(
        {
          maxSurge: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: '^[0-9]+%$' })])),
          maxUnavailable: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: '^[0-9]+%$' })])),
        },
        { ...closed, description: 'Default: maxSurge 1 and maxUnavailable 0; with `gpu` 0 and 1, as there may be no device to spare.' },
      ),
    ),
    startTimeout: Type.Optional(Duration('How long a pod may take until it is ready for the first time. Default: 5m.')),
    drain: Type.Optional(Duration('How long a pod goes on answering after it was told to end, before it refuses. Default: 10s.')),
    service: Type.Optional(oneOf(['ClusterIP', 'LoadBalancer', 'NodePort'], { description: 'Type of the Service. Default: ClusterIP.' })),
    expose: Type.Optional(Expose),
    traffic: Type.Optional(
      oneOf(['service', 'gateway', 'istio', 'linkerd'], {
        description:
          'Who shares requests between variants: `service`, one Deployment whose servers route themselves where the model comes from a control plane; else HTTPRoute, VirtualService or Linkerd. Default: service.',
      }),
    ),
    scaling: Type.Optional(Scaling),
    networkPolicy: Type.Optional(
      Type.Union(
        [
          Type.Literal(false),
          Type.Object(
            {
              from: Type.Optional(
                Type.Array(Name('Namespace.'), {
                  maxItems: 50,
                  description:
                    'Namespaces whose pods may ask, beside that of the gateway. Default: the own; anybody where the Service is a LoadBalancer or NodePort.',
                }),
              ),
              monitoring: Type.Optional(Name('Namespace whose pods may read metrics. Default: monitoring.')),
              egress: Type.Optional(
                Type.Array(Type.String({ pattern: '^[0-9a-f.:]+/[0-9]{1,3}$' }), {
                  maxItems: 50,
                  description: 'Networks (CIDR) that pods may reach beside DNS and the control plane. Default: none.',
                }),
              ),
            },
            closed,
          ),
        ],
        { description: 'Who may reach pods, and whom they may reach. `false`: no policy. Default: as its fields say.' },
      ),
    ),
    monitoring: Type.Optional(
      Type.Union(
        [
          Type.Literal(false),
          Type.Object(
            {
              by: Type.Optional(
                oneOf(['pods', 'service'], {
                  description: 'A PodMonitor, which also measures pods that take no requests, or a ServiceMonitor. Default: pods.',
                }),
              ),
              labels: Type.Optional(Words('Labels by which the operator finds the monitors. Default: none.')),
              latencyMs: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'p99 beyond which is alerted. Default: 1000.' })),
              keySecret: Type.Optional(
                Name('Secret whose key `key` has an API key of the scope metrics, for servers with keys. Default: none.'),
              ),
            },
            closed,
          ),
        ],
        {
          description:
            'PodMonitor (or ServiceMonitor) and PrometheusRule of the Prometheus operator. Default: none; an empty object has the defaults.',
        },
      ),
    ),
    falco: Type.Optional(Type.Boolean({ description: 'Rules for Falco that name what a serving pod never does. Default: false.' })),
    secrets: Type.Optional(Type.Array(SecretVariable, { maxItems: 100, description: 'Variables from Secrets. Default: none.' })),
    environment: Type.Optional(Words('Variables of the environment of pods. Default: none.')),
    labels: Type.Optional(Words('Labels of all objects. Default: those of app.kubernetes.io.')),
    annotations: Type.Optional(Words('Annotations of the pods. Default: none.')),
  },
  { ...closed, description: 'How it runs on Kubernetes. Counts with `target: kubernetes` alone.' },
)
export type KubernetesOptions = Static<typeof KubernetesOptions>
