/** Options -> resolved: what an endpoint says of Kubernetes, with every default in place. */
import { resolveSpec } from '../contract/endpoint.ts'
import { SlipwayError } from '../core/errors.ts'
import { parseDurationMs } from '../core/units.ts'
import { kubernetesIssues } from './issues.ts'
import { selectorOf, VARIANT_LABEL } from './labels.ts'
import { objectName } from './names.ts'
import { labelIssues } from './pod-issues.ts'
import { scalerOf } from './scaler.ts'
import type { EndpointDocument, ResolvedSpec } from '../contract/endpoint.ts'
import type { KubernetesOptions } from '../contract/kubernetes.ts'
import type { Scaler } from './scaler.ts'

type Variant = ResolvedSpec['variants'][number]

/** What one Deployment runs. */
export interface Workload {
  /** Of the Deployment and of the Service that is its own. */
  readonly name: string
  /** Undefined where servers of one Deployment serve all variants. */
  readonly variant: Variant | undefined
  readonly image: string
  /** The plain image of its model, which is mounted. */
  readonly modelImage: string | undefined
  /** Whether it has the largest share: it stays where nodes are not taken away. */
  readonly stable: boolean
  readonly selector: Readonly<Record<string, string>>
}

export interface ResolvedKubernetes {
  readonly endpoint: string
  /** Of the objects that the whole endpoint has. */
  readonly name: string
  readonly namespace: string
  readonly spec: ResolvedSpec
  readonly options: KubernetesOptions
  readonly model: NonNullable<KubernetesOptions['model']>
  readonly traffic: NonNullable<KubernetesOptions['traffic']>
  readonly workloads: readonly Workload[]
  readonly resources: { readonly cpu: string; readonly memory: string; readonly cpuLimit: string | undefined }
  readonly startSeconds: number
  /** How long a pod goes on answering after it was told to end. */
  readonly drainSeconds: number
  /** Longest that a request may take. */
  readonly requestSeconds: number
  readonly scaler: Scaler | undefined
  /** Of every object. */
  readonly labels: Readonly<Record<string, string>>
  /** Of all pods of the endpoint. */
  readonly selector: Readonly<Record<string, string>>
}

const MAIN_REQUEST_SECONDS = 30
const DEFAULTS = { namespace: 'default', startTimeout: '5m', drain: '10s', cpu: '1', memory: '1Gi' } as const

/** @throws SLW_CONFIG_INVALID with every part that Kubernetes cannot have, or that is missing */
export function resolveKubernetes(document: EndpointDocument): ResolvedKubernetes {
  const spec = resolveSpec({ ...document.spec, target: 'kubernetes' })
  const options = document.spec.kubernetes ?? {}
  const { name: endpoint, labels = {} } = document.metadata
  const issues = [...kubernetesIssues(document.spec, spec), ...labelIssues('metadata.labels', labels)]
  if (issues.length > 0)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `endpoint "${endpoint}" cannot run on Kubernetes as it is written:\n${issues.map(({ path, message }) => `  ${path}: ${message}`).join('\n')}`,
      { issues },
    )
  const { traffic = 'service', model = { from: 'image' } } = options
  const name = objectName(endpoint)
  const seconds = (text: string): number => Math.ceil(parseDurationMs(text, 'kubernetes') / 1000)
  const timeouts = spec.variants.map(({ serving }) => Math.ceil((serving.requestTimeoutMs ?? MAIN_REQUEST_SECONDS * 1000) / 1000))
  return {
    endpoint,
    name,
    namespace: options.namespace ?? DEFAULTS.namespace,
    spec,
    options,
    model,
    traffic,
    workloads: workloadsOf(document, spec, name),
    resources: {
      cpu: options.resources?.cpu ?? DEFAULTS.cpu,
      memory: options.resources?.memory ?? DEFAULTS.memory,
      cpuLimit: options.resources?.cpuLimit,
    },
    startSeconds: seconds(options.startTimeout ?? DEFAULTS.startTimeout),
    drainSeconds: seconds(options.drain ?? DEFAULTS.drain),
    requestSeconds: Math.max(...timeouts),
    scaler: spec.autoscaling === undefined ? undefined : scalerOf(spec.autoscaling, options),
    labels: {
      ...labels,
      ...options.labels,
      ...selectorOf(endpoint),
      'app.kubernetes.io/managed-by': 'slipway',
      'app.kubernetes.io/component': 'inference',
    },
    selector: selectorOf(endpoint),
  }
}

/** One for each variant, or one for all where servers share requests out by themselves. */
function workloadsOf(
  { metadata: { name: endpoint }, spec: { kubernetes = {} } }: EndpointDocument,
  spec: ResolvedSpec,
  name: string,
): Workload[] {
  const { image = '', images = {}, model = { from: 'image' } } = kubernetes
  if (model.from === 'control-plane')
    return [{ name, variant: undefined, image, modelImage: undefined, stable: true, selector: selectorOf(endpoint) }]
  const base = spec.variants.reduce((most, variant) => (variant.weight > most.weight ? variant : most))
  return spec.variants.map((variant) => ({
    name: objectName(endpoint, variant.name),
    variant,
    image: images[variant.name] ?? image,
    modelImage: model.from === 'volume' ? model.images[variant.name] : undefined,
    stable: variant === base,
    selector: selectorOf(endpoint, variant.name),
  }))
}

/** Labels of an object of one workload. */
export function labelsOf({ labels }: ResolvedKubernetes, { variant }: Workload): Readonly<Record<string, string>> {
  return variant === undefined ? labels : { ...labels, [VARIANT_LABEL]: variant.name }
}
