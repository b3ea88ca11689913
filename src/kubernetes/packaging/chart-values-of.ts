/** What may be changed in the chart of an endpoint. */
import { chosenLabels, FIXED_LABELS, SCALERS, variantKey } from './chart-template.ts'
import { valueAt } from './places.ts'
import type { Json, KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'
import type { ChartGroup, ChartValue, ChartValues } from './chart-values.ts'

interface Source {
  readonly resolved: ResolvedKubernetes
  readonly objects: readonly KubernetesObject[]
  /** Of the variants, where a route shares requests out. */
  readonly weights: readonly number[] | undefined
  /** Server files by the name of the workload. */
  readonly configs: ReadonlyMap<string, string>
}

const TEXTS = { type: 'object', additionalProperties: { type: 'string' } } as const
const QUANTITIES = { type: 'object', additionalProperties: { type: ['string', 'number'] } } as const
const REPLICAS = { type: 'integer', minimum: 0, maximum: 10_000 } as const
const TOLERATIONS = {
  type: 'array',
  items: {
    type: 'object',
    additionalProperties: false,
    properties: {
      key: { type: 'string' },
      operator: { enum: ['Exists', 'Equal'] },
      value: { type: 'string' },
      effect: { enum: ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] },
      tolerationSeconds: { type: 'integer' },
    },
  },
} as const
const ENVIRONMENT = {
  type: 'array',
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['name'],
    properties: {
      name: { type: 'string', pattern: '^[A-Za-z_][A-Za-z0-9_]*$' },
      value: { type: 'string' },
      valueFrom: { type: 'object' },
    },
  },
} as const

export function chartValues(source: Source): ChartValues {
  const { resolved, objects } = source
  const { options, workloads, name } = resolved
  const pod = podOf(objects, workloads[0]!)
  const text = (comment: string, value: string | undefined): ChartValue => ({ comment, default: value ?? '', schema: { type: 'string' } })
  return {
    fullnameOverride: {
      comment: `Name of all objects, where one namespace has the chart twice. Default: ${name}.`,
      default: '',
      schema: { type: 'string', maxLength: 40, pattern: '^$|^[a-z]([-a-z0-9]*[a-z0-9])?$' },
    },
    variants: {
      comment: 'By variant.',
      group: Object.fromEntries(workloads.map((workload, index) => [variantKey(workload), variantValues(workload, index, source)])),
    },
    ...autoscalingValues(source),
    resources: {
      comment: 'What each pod asks for, and may have at most.',
      default: valueAt(pod, ['containers', 0, 'resources']) as Json,
      schema: { type: 'object', additionalProperties: false, properties: { requests: QUANTITIES, limits: QUANTITIES } },
    },
    labels: {
      comment: 'Labels of all objects and pods, beside those by which pods are found.',
      default: chosenLabels(resolved),
      schema: { ...TEXTS, propertyNames: { not: { enum: FIXED_LABELS } } },
    },
    podAnnotations: { comment: 'Annotations of the pods.', default: options.annotations ?? {}, schema: TEXTS },
    env: {
      comment: 'Variables of the environment of pods, beside those of the server. Secrets by `valueFrom`.',
      default: Object.entries(options.environment ?? {}).map(([variable, value]) => ({ name: variable, value })),
      schema: ENVIRONMENT,
    },
    nodeSelector: { comment: 'Labels of the nodes.', default: (valueAt(pod, ['nodeSelector']) ?? {}) as Json, schema: TEXTS },
    imagePullSecrets: {
      comment: 'Secrets for a registry that asks for one.',
      default: options.imagePullSecret === undefined ? [] : [{ name: options.imagePullSecret }],
      schema: {
        type: 'array',
        items: { type: 'object', additionalProperties: false, required: ['name'], properties: { name: { type: 'string', minLength: 1 } } },
      },
    },
    serviceAccountName: text('Whose identity pods have. Default: that of the namespace, without its token.', options.serviceAccount),
    priorityClassName: text('Default: none.', options.priorityClass),
    service: {
      group: {
        type: {
          comment: 'Of the Service of the endpoint.',
          default: options.service ?? 'ClusterIP',
          schema: { enum: ['ClusterIP', 'LoadBalancer', 'NodePort'] },
        },
      },
    },
    ...(options.expose !== undefined && {
      host: {
        comment: 'Host name of the clients.',
        default: options.expose.host,
        schema: { type: 'string', pattern: '^[a-z0-9*]([-a-z0-9.]*[a-z0-9])?$' },
      },
    }),
  }
}

function podOf(objects: readonly KubernetesObject[], { name }: Workload): unknown {
  const deployment = objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === name)
  return valueAt(deployment, ['spec', 'template', 'spec'])
}

function variantValues(workload: Workload, index: number, { resolved, objects, weights, configs }: Source): ChartGroup {
  const { spec, scaler } = resolved
  const image = { type: 'string', pattern: '^\\S+$' }
  return {
    group: {
      image: { comment: 'Image of the pods, best by digest (REPOSITORY@sha256:...).', default: workload.image, schema: image },
      ...(workload.modelImage !== undefined && {
        modelImage: { comment: 'Image of the model, which is mounted.', default: workload.modelImage, schema: image },
      }),
      ...(weights !== undefined && {
        weight: {
          comment: `Share of the requests; those of all variants add up to ${weights.reduce((sum, weight) => sum + weight, 0)}.`,
          default: weights[index]!,
          schema: { type: 'integer', minimum: 0 },
        },
      }),
      replicas: {
        comment: scaler === undefined ? 'Pods.' : 'Pods, where `autoscaling.enabled` is false.',
        default: scaler === undefined ? spec.replicas : Math.max(1, spec.autoscaling!.minReplicas),
        schema: REPLICAS,
      },
      tolerations: {
        comment: 'Taints that pods bear.',
        default: (valueAt(podOf(objects, workload), ['tolerations']) ?? []) as Json,
        schema: TOLERATIONS,
      },
      config: {
        comment: 'File of the server. Pods are exchanged when it changes.',
        default: configs.get(workload.name)!,
        schema: { type: 'string', minLength: 1 },
      },
    },
  }
}

function autoscalingValues({ resolved, objects }: Source): ChartValues {
  const { scaler, spec } = resolved
  if (scaler === undefined) return {}
  const metric = valueAt(
    objects.find(({ kind }) => kind in SCALERS),
    ['spec', 'metrics', 0],
  )
  const percent = valueAt(metric, ['resource', 'target', 'averageUtilization'])
  const average = valueAt(metric, ['pods', 'target', 'averageValue'])
  return {
    autoscaling: {
      comment: scaler === 'hpa' ? 'By a HorizontalPodAutoscaler.' : 'By KEDA.',
      group: {
        enabled: { comment: 'Whether something scales; otherwise there are `replicas`.', default: true, schema: { type: 'boolean' } },
        minReplicas: { default: spec.autoscaling!.minReplicas, schema: { ...REPLICAS, minimum: scaler === 'hpa' ? 1 : 0 } },
        maxReplicas: { default: spec.autoscaling!.maxReplicas, schema: { ...REPLICAS, minimum: 1 } },
        ...(percent !== undefined && {
          target: {
            comment: 'Percent of the cores that pods ask for.',
            default: percent as number,
            schema: { type: 'integer', minimum: 1 },
          },
        }),
        ...(average !== undefined && {
          target: {
            comment: 'What each pod is to have of the metric.',
            default: average as string,
            schema: { type: ['string', 'number'], pattern: '^[0-9]+(\\.[0-9]+)?(m|[kMGTPE]i?)?$' },
          },
        }),
      },
    },
  }
}
