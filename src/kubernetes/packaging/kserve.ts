/** An endpoint as KServe serves it: a ServingRuntime that is Slipway, and an InferenceService for each variant. */
import { resolveRollout } from '../../contract/rollout.ts'
import { SlipwayError } from '../../core/errors.ts'
import { PORTS } from '../labels.ts'
import { renderEndpoint } from '../render.ts'
import { labelsOf, resolveKubernetes } from '../resolve.ts'
import { changed, valueAt } from './places.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'
import type { Package } from './files.ts'

export interface KServeOptions {
  /** Where the model lies (oci://, pvc://, s3://, gs://, https://): KServe brings it to /mnt/models. Default: the image has it inside. */
  readonly storageUri?: string
  /** Knative, which scales to zero and shares requests between revisions. Default: plain Deployments. */
  readonly serverless?: boolean
}

const MODELS = '/mnt/models'
/** Formats that the server reads, by KServe's names. */
const FORMATS = ['onnx', 'sklearn', 'xgboost', 'lightgbm', 'mlflow'] as const
const SCALE_METRICS: Readonly<Record<string, string>> = { cpu: 'cpu', concurrency: 'concurrency', rps: 'rps' }

/**
 * KServe 0.17 (serving.kserve.io): names of at most 40 characters, as Knative adds to them. Two variants or more get an InferenceGraph
 * that shares requests out.
 * @throws SLW_CONFIG_INVALID for what KServe cannot do
 */
export function kserve(document: EndpointDocument, options: KServeOptions): Package {
  const resolved = resolveKubernetes(document)
  const { workloads, model, endpoint, name } = resolved
  if (model.from === 'control-plane')
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `endpoint "${endpoint}": its servers follow a control plane, and KServe gives pods their model: let the image have it, or a volume (\`spec.kubernetes.model\`)`,
    )
  const long = workloads.find((workload) => workload.name.length > 40)
  if (long !== undefined)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `"${long.name}" has more than 40 characters: KServe and Knative add to names. Shorten those of the endpoint or the variant`,
    )
  const objects = renderEndpoint(document)
  const services = workloads.map((workload) => inferenceService(document, { resolved, workload, objects, options }))
  const runtimes = workloads
    .filter((workload) => uriOf(workload, options) !== undefined)
    .map((workload) => servingRuntime(resolved, workload, { objects, serverless: options.serverless ?? false }))
  const configs = objects.filter(
    ({ kind, metadata }) => kind === 'ConfigMap' && workloads.some((one) => metadata.name === `${one.name}-config`),
  )
  return {
    objects: [...configs, ...runtimes, ...services, ...(workloads.length > 1 ? [graphOf(resolved, name)] : [])],
    notes: notesOf(resolved, document, options),
  }
}

function notesOf({ options, workloads }: ResolvedKubernetes, { spec }: EndpointDocument, { serverless = false }: KServeOptions): string[] {
  return [
    ...(options.expose === undefined ? [] : ['spec.kubernetes.expose: KServe makes addresses of its own']),
    ...(spec.rollout !== undefined && !serverless && workloads.length === 1
      ? ['spec.rollout: KServe shares requests between versions with Knative alone (--serverless); plain Deployments exchange all pods']
      : []),
  ]
}

function uriOf({ modelImage }: Workload, { storageUri }: KServeOptions): string | undefined {
  return storageUri ?? (modelImage === undefined ? undefined : `oci://${modelImage}`)
}

interface Source {
  readonly resolved: ResolvedKubernetes
  readonly workload: Workload
  readonly objects: readonly KubernetesObject[]
  readonly options: KServeOptions
}

/** The pod of the rendered Deployment, with the names that KServe looks for. */
function podOf(
  { name }: Workload,
  objects: readonly KubernetesObject[],
  serverless: boolean,
): Record<string, unknown> & { readonly containers: readonly object[] } {
  const deployment = objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === name)
  const { topologySpreadConstraints: _, ...pod } = valueAt(deployment, ['spec', 'template', 'spec']) as Record<string, unknown>
  const [first] = pod['containers'] as readonly object[]
  // By its number: the port has the name that KServe looks for.
  const container = PROBES.reduce<object>((one, probe) => changed(one, [probe, 'httpGet', 'port'], () => PORTS.http) as object, first!)
  if (serverless) {
    // Knative has the end of a pod, and who it is, in words of its own.
    const { lifecycle: _end, securityContext, ...plain } = container as Record<string, unknown>
    const { terminationGracePeriodSeconds: _grace, securityContext: ofPod, ...rest } = pod
    const { fsGroup: _group, ...user } = ofPod as Record<string, unknown>
    return {
      ...rest,
      containers: [{ ...plain, securityContext: { ...user, ...(securityContext as object) }, name: 'kserve-container', ports: PORT }],
    }
  }
  return {
    ...pod,
    containers: [{ ...container, name: 'kserve-container', ports: PORT }],
  }
}

const PORT = [{ name: 'http1', containerPort: PORTS.http, protocol: 'TCP' }] as const
const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const
const POD_FIELDS = ['containers', 'volumes', 'nodeSelector', 'affinity', 'tolerations', 'imagePullSecrets'] as const

function servingRuntime(
  resolved: ResolvedKubernetes,
  workload: Workload,
  { objects, serverless }: { readonly objects: readonly KubernetesObject[]; readonly serverless: boolean },
): KubernetesObject {
  const pod = podOf(workload, objects, serverless)
  const {
    env = [],
    volumeMounts = [],
    ...container
  } = pod.containers[0] as {
    readonly env?: readonly { readonly name: string }[]
    readonly volumeMounts?: readonly { readonly name: string }[]
  }
  const own = {
    ...pod,
    containers: [
      {
        ...container,
        // By the name under which clients of KServe ask for it.
        args: ['serve', `${workload.name}=${MODELS}`],
        env: env.filter(({ name }) => name !== 'MODEL_PATH'),
        volumeMounts: volumeMounts.filter(({ name }) => name !== 'model'),
      },
    ],
    volumes: (pod['volumes'] as readonly { readonly name: string }[]).filter(({ name }) => name !== 'model'),
  }
  return {
    apiVersion: 'serving.kserve.io/v1alpha1',
    kind: 'ServingRuntime',
    metadata: { name: workload.name, namespace: resolved.namespace, labels: labelsOf(resolved, workload) },
    spec: {
      annotations: { 'prometheus.kserve.io/port': String(PORTS.http), 'prometheus.kserve.io/path': '/metrics' },
      supportedModelFormats: FORMATS.map((name) => ({ name, autoSelect: false })),
      protocolVersions: ['v2', 'v1'],
      multiModel: false,
      ...Object.fromEntries(
        POD_FIELDS.flatMap((field) => (own[field as keyof typeof own] === undefined ? [] : [[field, own[field as keyof typeof own]]])),
      ),
    },
  }
}

function inferenceService(document: EndpointDocument, { resolved, workload, objects, options }: Source): KubernetesObject {
  const { namespace, spec, requestSeconds } = resolved
  const uri = uriOf(workload, options)
  const serverless = options.serverless ?? false
  const scale = spec.autoscaling
  const metric = SCALE_METRICS[scale?.metric ?? 'cpu']
  const [first] = resolveRollout(document.spec.rollout ?? {}).stages
  const shares = serverless && resolved.workloads.length === 1 && document.spec.rollout !== undefined && first !== undefined
  const { containers, ...pod } = podOf(workload, objects, serverless)
  return {
    apiVersion: 'serving.kserve.io/v1beta1',
    kind: 'InferenceService',
    metadata: {
      name: workload.name,
      namespace,
      labels: labelsOf(resolved, workload),
      annotations: { 'serving.kserve.io/deploymentMode': serverless ? 'Knative' : 'Standard' },
    },
    spec: {
      predictor: {
        minReplicas: scale?.minReplicas ?? spec.replicas,
        maxReplicas: scale?.maxReplicas ?? Math.max(1, spec.replicas),
        ...(scale !== undefined &&
          metric !== undefined && {
            scaleMetric: metric,
            ...(scale.targetValue !== undefined && { scaleTarget: Math.max(1, Math.round(scale.targetValue)) }),
          }),
        timeout: requestSeconds,
        // Of the newest revision; the one before it has the rest.
        ...(shares && { canaryTrafficPercent: Math.round(first.weight) }),
        ...(uri === undefined
          ? { ...pod, containers }
          : { model: { modelFormat: { name: 'onnx' }, runtime: workload.name, protocolVersion: 'v2', storageUri: uri } }),
      },
    },
  }
}

/** Whole percents, which add up to 100. */
function graphOf({ namespace, labels, workloads }: ResolvedKubernetes, name: string): KubernetesObject {
  const whole = workloads.map(({ variant }) => Math.round(variant!.weight))
  if (whole.some((weight, index) => weight !== workloads[index]!.variant!.weight))
    throw new SlipwayError('SLW_CONFIG_INVALID', 'an InferenceGraph of KServe shares by whole percents: round the weights of the variants')
  return {
    apiVersion: 'serving.kserve.io/v1alpha1',
    kind: 'InferenceGraph',
    metadata: { name, namespace, labels },
    spec: {
      nodes: {
        root: {
          routerType: 'Splitter',
          steps: workloads.map((workload, index) => ({ name: workload.variant!.name, serviceName: workload.name, weight: whole[index]! })),
        },
      },
    },
  }
}
