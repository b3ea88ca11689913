import { at, listAt, mapAt, textAt, wordOf } from './values.ts'
import type { KubernetesObject } from '../object.ts'
import type { Path } from './values.ts'

/** A pod that is declared: by itself, or as the template of what makes pods. */
export interface PodTemplate {
  readonly object: KubernetesObject
  /** Of the template; empty for a Pod. */
  readonly path: Path
  readonly labels: Readonly<Record<string, unknown>>
  readonly annotations: Readonly<Record<string, unknown>>
  readonly spec: unknown
  /** Whether it answers until it is told to end: no Job, and nothing that runs at times. */
  readonly isServing: boolean
}

/** Role of a container: a sidecar is an init container that goes on. */
export type Role = 'main' | 'init' | 'sidecar' | 'ephemeral'

export interface Container {
  readonly pod: PodTemplate
  readonly container: unknown
  readonly path: Path
  readonly name: string
  readonly role: Role
}

/** Kinds that keep pods running, and are asked for a number of them. */
export const SERVING_KINDS = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Rollout'])

export function podTemplateOf(object: KubernetesObject): PodTemplate | undefined {
  const path = templatePath(object.kind)
  if (path === undefined) return undefined
  const template = at(object, ...path)
  const spec = at(template, 'spec')
  if (spec === null || typeof spec !== 'object') return undefined
  return {
    object,
    path,
    labels: mapAt(template, 'metadata', 'labels'),
    annotations: mapAt(template, 'metadata', 'annotations'),
    spec,
    isServing: SERVING_KINDS.has(object.kind) || (object.kind === 'Pod' && (textAt(spec, 'restartPolicy') ?? 'Always') === 'Always'),
  }
}

function templatePath(kind: string): Path | undefined {
  if (kind === 'Pod') return []
  if (SERVING_KINDS.has(kind) || kind === 'Job') return ['spec', 'template']
  return kind === 'CronJob' ? ['spec', 'jobTemplate', 'spec', 'template'] : undefined
}

const LISTS: readonly (readonly [field: string, role: Role])[] = [
  ['containers', 'main'],
  ['initContainers', 'init'],
  ['ephemeralContainers', 'ephemeral'],
]

/** Containers of a pod, of every role. */
export function containersOf(pod: PodTemplate): Container[] {
  return LISTS.flatMap(([field, role]) =>
    listAt(pod.spec, field).map((container, index) => ({
      pod,
      container,
      path: [...pod.path, 'spec', field, index],
      name: textAt(container, 'name') ?? wordOf(index),
      role: role === 'init' && textAt(container, 'restartPolicy') === 'Always' ? 'sidecar' : role,
    })),
  )
}

/** What takes part in the work for as long as the pod runs. */
export function runningContainersOf(pod: PodTemplate): Container[] {
  return containersOf(pod).filter(({ role }) => role === 'main' || role === 'sidecar')
}

/** Value of a resource, such as `limits` of `memory`. */
export function resourceOf({ container, pod }: Container, side: 'requests' | 'limits', name: string): unknown {
  // Cores and memory may be those of the whole pod (Kubernetes 1.34).
  return at(container, 'resources', side, name) ?? at(pod.spec, 'resources', side, name)
}

/** Names of the devices that a container asks for or is limited to. */
export function devicesOf({ container }: Container): string[] {
  const names = (['requests', 'limits'] as const).flatMap((side) => Object.keys(mapAt(container, 'resources', side)))
  return [...new Set(names)].filter((name) => /^(nvidia|amd|gpu\.intel|habana)\.(com|ai)\/./.test(name))
}

/** What the seconds of a handler say that waits: `sleep` of its own, or of a shell. */
export function sleepSecondsOf(handler: unknown): number | undefined {
  const seconds = at(handler, 'sleep', 'seconds')
  if (typeof seconds === 'number') return seconds
  const command = listAt(handler, 'exec', 'command').join(' ')
  const slept = /(?:^|[\s;&/])sleep\s+(\d+)\b/.exec(command)?.[1]
  return slept === undefined ? undefined : Number(slept)
}
