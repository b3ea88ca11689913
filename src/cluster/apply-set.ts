/**
 * Apply sets: which objects belong together, so that what is gone from a list can be found and removed. The way of kubectl
 * (KEP-3659: labels and annotations of `applyset.kubernetes.io`), so that `kubectl apply --prune --applyset=configmaps/NAME` can be used on
 * the same set.
 */
import { createHash } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { groupOf } from './kinds.ts'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { Cluster, LiveObject } from './cluster.ts'

const ID = 'applyset.kubernetes.io/id'
const TOOLING = 'applyset.kubernetes.io/tooling'
const KINDS = 'applyset.kubernetes.io/contains-group-kinds'
const NAMESPACES = 'applyset.kubernetes.io/additional-namespaces'
/** Label of the members. */
export const PART_OF = 'applyset.kubernetes.io/part-of'

/** kubectl touches no set of a tool of another name, and this is its way. */
const TOOL = 'kubectl/v1.34.0'
/** kubectl's own for the parent: with another name each would be in the other's way. */
const PARENT_MANAGER = 'kubectl-applyset'

/** The parent of a set. */
export interface ApplySet {
  readonly name: string
  readonly namespace: string
}

/** What the parent says of its members. */
interface Contents {
  /** As `Deployment.apps`, and `Service` for the group of Kubernetes itself. */
  readonly kinds: ReadonlySet<string>
  readonly namespaces: ReadonlySet<string>
}

/** Base64 without padding of SHA-256 of name, namespace, kind and group, for addresses (KEP-3659, "ApplySet ID"). */
export function applySetId({ name, namespace }: ApplySet): string {
  const digest = createHash('sha256').update(`${name}.${namespace}.ConfigMap.`).digest('base64url')
  return `applyset-${digest}-v1`
}

export function memberOf(set: ApplySet, object: KubernetesObject): KubernetesObject {
  const { metadata } = object
  return { ...object, metadata: { ...metadata, labels: { ...metadata.labels, [PART_OF]: applySetId(set) } } }
}

/** @throws SLW_CONFLICT where another tool keeps the set */
export async function contentsOf(cluster: Cluster, set: ApplySet): Promise<Contents> {
  const parent = await cluster.read(parentOf(set))
  const { labels = {}, annotations = {} } = parent?.metadata ?? {}
  const tool = annotations[TOOLING]
  if (tool !== undefined && !tool.startsWith('kubectl/'))
    throw new SlipwayError('SLW_CONFLICT', `ConfigMap ${set.namespace}/${set.name} is the parent of an apply set that ${tool} keeps`)
  if (labels[ID] !== undefined && labels[ID] !== applySetId(set))
    throw new SlipwayError('SLW_CONFLICT', `ConfigMap ${set.namespace}/${set.name} is the parent of another apply set, ${labels[ID]}`)
  return { kinds: wordsOf(annotations[KINDS]), namespaces: wordsOf(annotations[NAMESPACES]) }
}

export function contentsFor(set: ApplySet, objects: readonly KubernetesObject[]): Contents {
  const kinds = objects.map(({ apiVersion, kind }) => groupKind(groupOf(apiVersion), kind))
  const namespaces = objects.flatMap(({ metadata: { namespace } }) => namespace ?? []).filter((one) => one !== set.namespace)
  return { kinds: new Set(kinds), namespaces: new Set(namespaces) }
}

export function bothOf(a: Contents, b: Contents): Contents {
  return { kinds: a.kinds.union(b.kinds), namespaces: a.namespaces.union(b.namespaces) }
}

export async function keepParent(cluster: Cluster, set: ApplySet, { kinds, namespaces }: Contents): Promise<void> {
  const parent = parentOf(set)
  const annotations = {
    [TOOLING]: TOOL,
    [KINDS]: [...kinds].toSorted().join(','),
    [NAMESPACES]: [...namespaces].toSorted().join(','),
  }
  const metadata = { ...parent.metadata, labels: { [ID]: applySetId(set) }, annotations }
  await cluster.apply({ ...parent, metadata }, { manager: PARENT_MANAGER, force: true })
}

/** The members that are there, whatever the list is now. Kinds that the cluster does not know any more have none. */
export async function membersOf(cluster: Cluster, set: ApplySet, { kinds, namespaces }: Contents): Promise<LiveObject[]> {
  const members: LiveObject[] = []
  for (const one of kinds) {
    const [kind = '', ...group] = one.split('.')
    const apiVersion = await cluster.versionOf(group.join('.'), kind)
    if (apiVersion === undefined) continue
    for (const namespace of new Set([set.namespace, ...namespaces]))
      members.push(...(await cluster.list({ apiVersion, kind, namespace, selector: `${PART_OF}=${applySetId(set)}` })))
  }
  return members
}

function parentOf({ name, namespace }: ApplySet): KubernetesObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace } }
}

function groupKind(group: string, kind: string): string {
  return group === '' ? kind : `${kind}.${group}`
}

function wordsOf(text: string | undefined): ReadonlySet<string> {
  return new Set((text ?? '').split(',').filter((word) => word !== ''))
}
