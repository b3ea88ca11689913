import { randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { runPod } from './pod-process.ts'
import { nodeFor } from './schedule.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'
import type { ContainerState, FakeImage, PodProcess } from './pod-process.ts'
import type { Pod } from './pod-spec.ts'
import type { FakeNode, LiveNode } from './schedule.ts'

interface FakeNodesOptions {
  /** Default: three of them. */
  readonly nodes?: readonly FakeNode[]
  /** By reference. What is not here cannot be pulled. */
  readonly images: Readonly<Record<string, FakeImage>>
  /**
   * What pods say is their address. `pod`: one of 10.64.0.0/11, of which real EndpointSlices are made, and {@link FakeNodes.reach} says where
   * it is. `loopback`: where they are, of which no EndpointSlice may be made. Default: pod.
   */
  readonly addresses?: 'pod' | 'loopback'
}

/** Nodes whose pods are processes of this machine, and the scheduler for them; `await using` ends them all. */
export interface FakeNodes extends AsyncDisposable {
  /** Where an address of a pod is on this machine. */
  reach(podIp: string): string
  /** Processes of pods by their names. */
  process(pod: string): PodProcess | undefined
  /** Images may come later. */
  readonly images: Record<string, FakeImage>
  /**
   * Addresses (`http://...`) of the pods that a Service sends requests to now, as its EndpointSlices say.
   * @param port number of the containers' port
   */
  endpoints(namespace: string, service: string, port?: number): Promise<string[]>
}

const LOOK_MS = 100
const NODE_DEFAULTS = { cpu: '8', memory: '16Gi', pods: '50' } as const

interface Running {
  readonly process: PodProcess
  readonly podIp: string
  ending?: Promise<void>
  /** The status that the API server has last been told. */
  told?: string
  transitions: Map<string, { readonly status: string; readonly at: string }>
}

export async function startNodes(cluster: KubernetesCluster, options: FakeNodesOptions): Promise<FakeNodes> {
  const { nodes = [{ name: 'node-1' }, { name: 'node-2' }, { name: 'node-3' }], addresses = 'pod' } = options
  const images: Record<string, FakeImage> = { ...options.images }
  for (const node of nodes) await makeNode(cluster, node)
  const running = new Map<string, Running>()
  const byName = new Map<string, PodProcess>()
  const closed = new AbortController()
  // Clusters of two runs at once do not take each other's ports.
  const block = randomInt(64, 96)
  let next = 1

  const start = (pod: Pod): void => {
    const rest = `${block}.${Math.floor(next / 250)}.${(next++ % 250) + 1}`
    const address = `127.${rest}`
    const podIp = addresses === 'pod' ? `10.${rest}` : address
    const process = runPod({ cluster, pod, images, address, podIp, changed: () => {} })
    running.set(pod.metadata.uid, { process, podIp, transitions: new Map() })
    byName.set(pod.metadata.name, process)
  }
  const look = async (): Promise<void> => {
    const pods = (await cluster.request('GET', '/api/v1/pods')).body['items'] as Pod[]
    const live = (await cluster.request('GET', '/api/v1/nodes')).body['items'] as LiveNode[]
    for (const pod of pods) {
      const { metadata, spec } = pod
      const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`
      const own = running.get(metadata.uid)
      if (metadata.deletionTimestamp !== undefined) {
        if (own === undefined) await cluster.request('DELETE', path, { gracePeriodSeconds: 0 })
        else own.ending ??= endPod(cluster, path, own, metadata.deletionGracePeriodSeconds ?? 30, () => running.delete(metadata.uid))
      } else if (spec.nodeName === undefined) await schedule(cluster, path, pod, live, pods)
      else if (own === undefined) start(pod)
      const known = running.get(metadata.uid)
      if (known !== undefined) await tell(cluster, path, pod, known)
    }
  }
  const work = (async (): Promise<void> => {
    while (!closed.signal.aborted) {
      // A cluster that is asked too much for a moment is asked again.
      await look().catch(() => {})
      await pause(LOOK_MS, undefined, { signal: closed.signal }).catch(() => {})
    }
  })()

  const reach = (podIp: string): string => podIp.replace(/^10\./, '127.')
  return {
    images,
    reach,
    process: (name) => byName.get(name),
    async endpoints(namespace, service, port = 8470) {
      const query = `labelSelector=kubernetes.io/service-name%3D${service}`
      const { body } = await cluster.request('GET', `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?${query}`)
      const slices = body['items'] as { endpoints?: { addresses: string[]; conditions: { ready?: boolean } }[] }[]
      return slices.flatMap(({ endpoints }) =>
        (endpoints ?? [])
          .filter(({ conditions }) => conditions.ready === true)
          .flatMap((one) => one.addresses.map((address) => `http://${reach(address)}:${port}`)),
      )
    },
    async [Symbol.asyncDispose]() {
      closed.abort()
      await work
      await Promise.all(Array.from(running.values(), ({ process }) => process[Symbol.asyncDispose]()))
    },
  }
}

async function makeNode(cluster: KubernetesCluster, { name, labels = {}, taints = [], allocatable = {} }: FakeNode): Promise<void> {
  const metadata = { name, labels: { 'kubernetes.io/hostname': name, ...labels } }
  const made = await cluster.request('POST', '/api/v1/nodes', { metadata, spec: { taints } })
  if (made.status !== 201) throw new Error(`the node ${name} was not made: ${JSON.stringify(made.body)}`)
  const amounts = { ...NODE_DEFAULTS, ...allocatable }
  const status = { allocatable: amounts, capacity: amounts, conditions: [{ type: 'Ready', status: 'True' }] }
  await cluster.request('PATCH', `/api/v1/nodes/${name}/status`, { status }, 'application/merge-patch+json')
  // The admission of kube-apiserver taints new nodes, and the node controller, which is not run, takes that away.
  await cluster.request('PATCH', `/api/v1/nodes/${name}`, { spec: { taints } }, 'application/merge-patch+json')
}

async function schedule(
  cluster: KubernetesCluster,
  path: string,
  pod: Pod,
  nodes: readonly LiveNode[],
  pods: readonly Pod[],
): Promise<void> {
  const found = nodeFor(pod, nodes, pods)
  if ('node' in found) {
    const target = { apiVersion: 'v1', kind: 'Node', name: found.node }
    await cluster.request('POST', `${path}/binding`, { metadata: { name: pod.metadata.name }, target })
    // Whoever is scheduled next counts this one.
    ;(pod.spec as { nodeName?: string }).nodeName = found.node
  } else if (pod.status?.conditions?.every(({ reason }) => reason !== 'Unschedulable') !== false) {
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: found.why }
    await cluster.request('PATCH', `${path}/status`, { status: { conditions: [condition] } }, 'application/merge-patch+json')
  }
}

async function endPod(cluster: KubernetesCluster, path: string, { process }: Running, grace: number, gone: () => void): Promise<void> {
  await process.end(grace)
  await cluster.request('DELETE', path, { gracePeriodSeconds: 0 }).catch(() => {})
  gone()
}

async function tell(cluster: KubernetesCluster, path: string, pod: Pod, known: Running): Promise<void> {
  const status = statusOf(pod, known)
  const text = JSON.stringify(status)
  if (text === known.told) return
  const { status: code } = await cluster.request('PATCH', `${path}/status`, { status }, 'application/merge-patch+json')
  if (code === 200) known.told = text
}

function statusOf(pod: Pod, known: Running): object {
  const { podIp, process, transitions } = known
  const state = process.state()
  const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  const condition = (type: string, is: boolean): object => {
    const status = is ? 'True' : 'False'
    if (transitions.get(type)?.status !== status) transitions.set(type, { status, at })
    return { type, status, lastTransitionTime: transitions.get(type)?.at }
  }
  return {
    phase: state.running === undefined && state.restarts === 0 && state.last === undefined ? 'Pending' : 'Running',
    hostIP: '192.0.2.10',
    podIP: podIp,
    podIPs: [{ ip: podIp }],
    conditions: [
      condition('PodScheduled', true),
      condition('Initialized', true),
      condition('ContainersReady', state.ready),
      condition('Ready', state.ready),
    ],
    containerStatuses: pod.spec.containers.map((container) => containerStatus(container, state)),
  }
}

function containerStatus({ name, image }: Pod['spec']['containers'][number], state: ContainerState): object {
  const { running, waiting, terminated, last, restarts, started, ready } = state
  return {
    name,
    image,
    imageID: image,
    restartCount: restarts,
    started,
    ready,
    state: { ...(running && { running }), ...(waiting && { waiting }), ...(terminated && { terminated }) },
    lastState: last === undefined ? {} : { terminated: last },
  }
}
