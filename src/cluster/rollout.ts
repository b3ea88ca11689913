import { setTimeout as pause } from 'node:timers/promises'
import { SlipwayError } from '../core/errors.ts'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { Cluster, LiveObject } from './cluster.ts'

const LOOK_MS = 500

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
}

/** Fields of a Deployment that tell how far its pods are. */
export interface DeploymentState {
  readonly name: string
  readonly wanted: number
  readonly updated: number
  readonly ready: number
  readonly available: number
  readonly all: number
  readonly isDone: boolean
  readonly conditions: readonly Condition[]
  /** Revision that `kubectl rollout history` shows. */
  readonly revision: string | undefined
}

/** Fields of a pod that tell why it is not ready. */
export interface PodState {
  readonly name: string
  readonly node: string | undefined
  readonly image: string
  readonly isReady: boolean
  readonly restarts: number
  /** In words; undefined for a pod that is ready. */
  readonly trouble: string | undefined
}

interface ContainerStatus {
  readonly name: string
  readonly ready: boolean
  readonly restartCount: number
  readonly started?: boolean
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string }
    readonly terminated?: { readonly exitCode: number; readonly reason?: string }
  }
  readonly lastState?: { readonly terminated?: { readonly exitCode: number; readonly reason?: string } }
}

export function deploymentState(deployment: LiveObject): DeploymentState {
  const spec = deployment['spec'] as { readonly replicas?: number }
  const status = (deployment['status'] ?? {}) as {
    readonly observedGeneration?: number
    readonly updatedReplicas?: number
    readonly readyReplicas?: number
    readonly availableReplicas?: number
    readonly replicas?: number
    readonly conditions?: readonly Condition[]
  }
  const { metadata } = deployment
  const { replicas: all = 0, updatedReplicas: updated = 0, readyReplicas: ready = 0, availableReplicas: available = 0 } = status
  const wanted = spec.replicas ?? 1
  const isSeen = (status.observedGeneration ?? 0) >= (metadata.generation ?? 0)
  return {
    name: metadata.name,
    wanted,
    updated,
    ready,
    available,
    all,
    isDone: isSeen && updated >= wanted && all <= updated && available >= updated,
    conditions: isSeen ? (status.conditions ?? []) : [],
    revision: metadata.annotations?.['deployment.kubernetes.io/revision'],
  }
}

/** The pods that the selector of a Deployment finds. */
export async function podsOf(cluster: Cluster, deployment: LiveObject): Promise<LiveObject[]> {
  const { selector } = deployment['spec'] as { readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> } }
  const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`)
  const { namespace = cluster.namespace } = deployment.metadata
  return await cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace, selector: labels.join(',') })
}

export async function podState(cluster: Cluster, pod: LiveObject): Promise<PodState> {
  const spec = pod['spec'] as { readonly nodeName?: string; readonly containers: readonly { readonly image: string }[] }
  const status = (pod['status'] ?? {}) as {
    readonly conditions?: readonly Condition[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
  const containers = status.containerStatuses ?? []
  const isEnding = pod.metadata.deletionTimestamp !== undefined
  const isReady = !isEnding && status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
  return {
    name: pod.metadata.name,
    node: spec.nodeName,
    image: spec.containers[0]?.image ?? '',
    isReady,
    restarts: containers.reduce((sum, { restartCount }) => sum + restartCount, 0),
    trouble: isReady ? undefined : await troubleOf(cluster, pod, status.conditions ?? [], containers),
  }
}

async function troubleOf(
  cluster: Cluster,
  pod: LiveObject,
  conditions: readonly Condition[],
  containers: readonly ContainerStatus[],
): Promise<string> {
  if (pod.metadata.deletionTimestamp !== undefined) return 'is ending'
  const unscheduled = conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False')
  if (unscheduled !== undefined) return `no node takes it: ${unscheduled.message ?? unscheduled.reason ?? ''}`
  for (const { state = {}, lastState = {} } of containers) {
    const { waiting, terminated } = state
    const ended = terminated ?? lastState.terminated
    const ending = ended === undefined ? '' : `; it ended with ${ended.exitCode}${ended.reason === undefined ? '' : ` (${ended.reason})`}`
    if (waiting !== undefined && waiting.reason !== 'ContainerCreating')
      return `${waiting.reason ?? 'waits'}${waiting.message === undefined ? '' : `: ${waiting.message}`}${ending}`
    if (terminated !== undefined) return `its container has ended${ending}`
  }
  const told = await lastWarning(cluster, pod)
  if (told !== undefined) return told
  if (containers.some(({ started }) => started === false)) return 'its container starts'
  return containers.length === 0 ? 'is being made' : 'its readiness probe does not pass yet'
}

/** What the kubelet said last: probes that fail, volumes that cannot be mounted. */
async function lastWarning(cluster: Cluster, { metadata }: LiveObject): Promise<string | undefined> {
  const { namespace = cluster.namespace, uid } = metadata
  const events = (await cluster.list({
    apiVersion: 'v1',
    kind: 'Event',
    namespace,
    fields: `involvedObject.uid=${uid},type=Warning`,
  })) as (LiveObject & { readonly reason?: string; readonly message?: string; readonly lastTimestamp?: string | null })[]
  const last = events.toSorted((a, b) => timeOf(a) - timeOf(b)).at(-1)
  return last === undefined ? undefined : `${last.reason ?? 'Warning'}: ${last.message ?? ''}`
}

function timeOf(event: LiveObject & { readonly lastTimestamp?: string | null }): number {
  return Date.parse(event.lastTimestamp ?? event.metadata.creationTimestamp ?? '')
}

interface WaitOptions {
  readonly timeoutMs: number
  /** Told whenever something has moved, or stands in the way in another way. */
  readonly told?: (line: string) => void
  readonly signal?: AbortSignal
}

/**
 * Waits until the Deployments among the objects have no pods but new ones, all of them available.
 * @throws SLW_NOT_ROLLED_OUT with what stands in the way, when the time is over or Kubernetes itself has given up; SLW_CANCELLED
 */
export async function untilRolledOut(cluster: Cluster, objects: readonly KubernetesObject[], options: WaitOptions): Promise<void> {
  const { timeoutMs, told = () => {}, signal } = options
  const deadline = performance.now() + timeoutMs
  let waiting = objects.filter(({ kind, apiVersion }) => kind === 'Deployment' && apiVersion === 'apps/v1')
  const said = new Map<string, string>()
  for (;;) {
    const late = performance.now() >= deadline
    const problems: string[] = []
    const left: KubernetesObject[] = []
    for (const object of waiting) {
      const { line, isDone, hasFailed } = await look(cluster, object)
      if (said.get(object.metadata.name) !== line) told(line)
      said.set(object.metadata.name, line)
      if (isDone) continue
      left.push(object)
      if (hasFailed || late) problems.push(line)
    }
    if (left.length === 0) return
    if (problems.length > 0)
      throw new SlipwayError(
        'SLW_NOT_ROLLED_OUT',
        late ? `not ready after ${timeoutMs / 1000} s: ${problems.join('; ')}` : problems.join('; '),
      )
    waiting = left
    await pause(LOOK_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {
      throw new SlipwayError('SLW_CANCELLED', 'given up waiting; what was applied stays')
    })
  }
}

async function look(cluster: Cluster, object: KubernetesObject): Promise<{ line: string; isDone: boolean; hasFailed: boolean }> {
  const live = await cluster.read(object)
  if (live === undefined) return { line: `${object.metadata.name}: somebody has removed it`, isDone: false, hasFailed: true }
  const state = deploymentState(live)
  const { name, wanted, updated, available } = state
  if (state.isDone) return { line: `${name}: ${available} of ${wanted} pods are available`, isDone: true, hasFailed: false }
  const given = state.conditions.find(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded')
  const refused = state.conditions.find(({ type, status }) => type === 'ReplicaFailure' && status === 'True')
  const pods = await Promise.all((await podsOf(cluster, live)).map((pod) => podState(cluster, pod)))
  const troubles = pods.flatMap((pod) =>
    pod.trouble === undefined || pod.trouble === 'is ending' ? [] : [`pod ${pod.name} ${pod.trouble}`],
  )
  const told = [...(refused?.message === undefined ? [] : [refused.message]), ...troubles.slice(0, 3)]
  const count = `${updated} of ${wanted} pods are new, ${available} available`
  return { line: `${name}: ${[count, ...told].join('; ')}`, isDone: false, hasFailed: given !== undefined }
}
