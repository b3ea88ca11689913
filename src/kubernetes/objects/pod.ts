import { modelReference } from '../../contract/endpoint.ts'
import { PORTS } from '../labels.ts'
import { labelsOf } from '../resolve.ts'
import { CONFIG_FILE, CONFIG_FOLDER, configMapName } from './config-map.ts'
import { deviceOf } from './gpu.ts'
import { RESTRICTED_CONTAINER, RESTRICTED_POD } from './security-context.ts'
import { spotPlace } from './spot.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'

/** Where the image of a model is mounted, which has it as `models/NAME`. */
const MODEL_FOLDER = '/mnt/model'
const STORE_FOLDER = '/var/lib/slipway'
const STARTUP_PERIOD_SECONDS = 2
const PRE_STOP_SECONDS = 5
/** What is left when everything has been answered: logs, windows, the end of processes. */
const MARGIN_SECONDS = 10

/** A pod that the restricted Pod Security Standard admits, and that ends without losing a request. */
export function podTemplate(resolved: ResolvedKubernetes, workload: Workload, configDigest: string): object {
  const { options, selector, drainSeconds, requestSeconds } = resolved
  const place = placeOf(resolved, workload)
  return {
    metadata: {
      labels: labelsOf(resolved, workload),
      // A changed configuration is a changed pod: nobody would read it otherwise.
      annotations: { ...options.annotations, 'slipway.dev/config-digest': configDigest },
    },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...(options.serviceAccount !== undefined && { serviceAccountName: options.serviceAccount }),
      ...(options.priorityClass !== undefined && { priorityClassName: options.priorityClass }),
      ...(options.imagePullSecret !== undefined && { imagePullSecrets: [{ name: options.imagePullSecret }] }),
      // Asked to end, it waits for the routes to learn of it, goes on answering, and then finishes what it has.
      terminationGracePeriodSeconds: drainSeconds + requestSeconds + MARGIN_SECONDS,
      securityContext: RESTRICTED_POD,
      ...place,
      topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
        maxSkew: 1,
        topologyKey,
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: workload.variant === undefined ? selector : workload.selector },
        // Pods of the version before would count otherwise.
        matchLabelKeys: ['pod-template-hash'],
      })),
      containers: [container(resolved, workload)],
      volumes: volumesOf(resolved, workload),
    },
  }
}

function container(resolved: ResolvedKubernetes, workload: Workload): object {
  const { options, resources, drainSeconds, model, endpoint } = resolved
  const device = deviceOf(options.gpu)
  return {
    name: 'server',
    image: workload.image,
    ...(model.from === 'control-plane' && { args: ['serve', '--endpoint', endpoint] }),
    ports: [
      { name: 'http', containerPort: PORTS.http },
      { name: 'grpc', containerPort: PORTS.grpc },
    ],
    env: environmentOf(resolved, workload),
    resources: {
      requests: { cpu: resources.cpu, memory: resources.memory, ...device },
      limits: { ...(resources.cpuLimit !== undefined && { cpu: resources.cpuLimit }), memory: resources.memory, ...device },
    },
    ...probes(resolved),
    // Until every route has learned that the pod goes; an API server before 1.34 refuses a sleep of 0.
    ...(drainSeconds > 0 && { lifecycle: { preStop: { sleep: { seconds: Math.min(PRE_STOP_SECONDS, drainSeconds) } } } }),
    securityContext: RESTRICTED_CONTAINER,
    volumeMounts: [
      { name: 'config', mountPath: CONFIG_FOLDER, readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
      ...(model.from === 'control-plane' ? [{ name: 'store', mountPath: STORE_FOLDER }] : []),
      ...(workload.modelImage === undefined ? [] : [{ name: 'model', mountPath: MODEL_FOLDER, readOnly: true }]),
    ],
  }
}

/** Liveness asks whether the process answers, and nothing that a load or another system could delay. */
function probes({ startSeconds }: ResolvedKubernetes): object {
  const asks = (path: string): object => ({ httpGet: { path, port: 'http' } })
  return {
    startupProbe: {
      ...asks('/v2/health/ready'),
      periodSeconds: STARTUP_PERIOD_SECONDS,
      timeoutSeconds: 2,
      failureThreshold: Math.max(1, Math.ceil(startSeconds / STARTUP_PERIOD_SECONDS)),
    },
    readinessProbe: { ...asks('/v2/health/ready'), periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 2 },
    livenessProbe: { ...asks('/v2/health/live'), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 },
  }
}

function environmentOf({ model, options }: ResolvedKubernetes, { variant, modelImage }: Workload): object[] {
  const fixed: Record<string, string> = {
    SLIPWAY_CONFIG: `${CONFIG_FOLDER}/${CONFIG_FILE}`,
    ...(modelImage !== undefined &&
      variant !== undefined && { MODEL_PATH: `${MODEL_FOLDER}/models/${modelReference(variant.model).model}` }),
    ...options.environment,
  }
  const fromPod = (name: string, fieldPath: string): object => ({ name, valueFrom: { fieldRef: { fieldPath } } })
  const fromSecret = (name: string, secret: string, key: string): object => ({ name, valueFrom: { secretKeyRef: { name: secret, key } } })
  return [
    ...Object.entries(fixed).map(([name, value]) => ({ name, value })),
    ...(model.from === 'control-plane'
      ? [fromPod('SLIPWAY_CONTROL_PLANE_SERVER_NAME', 'metadata.name'), fromSecret('SLIPWAY_JOIN_TOKEN', model.joinToken, 'token')]
      : []),
    ...(options.secrets ?? []).map(({ variable, secret, key }) => fromSecret(variable, secret, key)),
  ]
}

function volumesOf(resolved: ResolvedKubernetes, workload: Workload): object[] {
  const { model } = resolved
  return [
    { name: 'config', configMap: { name: configMapName(resolved, workload) } },
    { name: 'tmp', emptyDir: {} },
    ...(model.from === 'control-plane' ? [{ name: 'store', emptyDir: {} }] : []),
    ...(workload.modelImage === undefined
      ? []
      : [{ name: 'model', image: { reference: workload.modelImage, pullPolicy: 'IfNotPresent' } }]),
  ]
}

/** Nodes for pods: what is asked for, what devices need, and what spot offers. */
function placeOf({ options }: ResolvedKubernetes, { stable }: Workload): object {
  const { gpu } = options
  const spot = spotPlace(options.spot, stable)
  const nodeSelector = { ...options.nodeSelector, ...gpu?.nodeSelector }
  const tolerations = [
    ...(options.tolerations ?? []),
    ...(gpu === undefined ? [] : [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }]),
    ...spot.tolerations,
  ]
  return {
    ...(Object.keys(nodeSelector).length > 0 && { nodeSelector }),
    ...(tolerations.length > 0 && { tolerations }),
    ...(spot.affinity !== undefined && { affinity: spot.affinity }),
  }
}
