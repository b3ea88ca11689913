import { isSlipwayError, SlipwayError } from '../core/errors.ts'
import { bothOf, contentsFor, contentsOf, keepParent, memberOf, membersOf, PART_OF } from './apply-set.ts'
import { inOrder } from './order.ts'
import { keepRevision } from './revisions.ts'
import {
  besideOthers,
  differ,
  handOverReplicas,
  keepWeights,
  replicasToHandOver,
  SCALING_MANAGER,
  WEIGHTS_MANAGER,
  weightsAreMoved,
  withReplicas,
} from './shared-fields.ts'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { Cluster, LiveObject } from './cluster.ts'
import type { Cause, EndpointSet, Revision } from './revisions.ts'

/** What was, or would be, done with an object. */
export interface Applied {
  readonly object: KubernetesObject
  readonly change: 'created' | 'changed' | 'unchanged' | 'removed'
}

interface ApplyOptions extends Cause {
  /** Changes nothing: the API server is asked what it would do. Default: false. */
  readonly dryRun?: boolean
  /** Takes over fields of others. Default: false. */
  readonly force?: boolean
  /** Told of each object as it is done. */
  readonly told?: (applied: Applied) => void
}

export interface ApplyResult {
  readonly applied: readonly Applied[]
  /** Undefined with `dryRun`. */
  readonly revision: Revision | undefined
  /** As the API server has them now, without those that were removed. */
  readonly live: readonly LiveObject[]
}

/** Shown by `kubectl rollout history`. */
export const CHANGE_CAUSE = 'kubernetes.io/change-cause'

/**
 * Applies a set of objects under the field manager slipway and removes what was in it before and is not any more. It can be ended at any
 * moment: the same call afterwards finishes it, as the parent of the set names what is to come before it is there, and what is gone after
 * it went.
 * @throws as {@link Cluster.apply}; nothing was changed where the API server refuses an object or names a conflict
 */
export async function applySet(
  cluster: Cluster,
  set: EndpointSet,
  objects: readonly KubernetesObject[],
  options: ApplyOptions,
): Promise<ApplyResult> {
  const { dryRun = false, force = false, told = () => {} } = options
  const ordered = inOrder(objects)
  const present = await contentsOf(cluster, set)
  const wanted = contentsFor(set, ordered)
  // Everything is asked first: what one object is refused for is known before another is changed.
  const trials: Applied[] = []
  for (const object of ordered) trials.push((await applyOne(cluster, memberOf(set, object), { dryRun: true, force })).applied)

  if (dryRun) {
    const gone = await leftOver(cluster, set, present, ordered)
    const applied = [...trials, ...gone.map((object): Applied => ({ object, change: 'removed' }))]
    applied.forEach(told)
    return { applied, revision: undefined, live: [] }
  }
  const { revision, applied: complete } = await keepRevision(cluster, set, ordered, options)
  await keepParent(cluster, set, bothOf(present, wanted))
  const done: Applied[] = []
  const live: LiveObject[] = []
  for (const object of ordered) {
    const result = await applyOne(cluster, memberOf(set, withCause(object, revision)), { force })
    live.push(result.live)
    done.push(result.applied)
    told(result.applied)
  }
  for (const object of await leftOver(cluster, set, bothOf(present, wanted), ordered)) {
    await cluster.remove(object)
    const removed: Applied = { object, change: 'removed' }
    done.push(removed)
    told(removed)
  }
  await keepParent(cluster, set, wanted)
  await complete()
  return { applied: done, revision, live }
}

/** The members that are in the set and not in the list. */
export async function leftOver(
  cluster: Cluster,
  set: EndpointSet,
  contents: Awaited<ReturnType<typeof contentsOf>>,
  objects: readonly KubernetesObject[],
): Promise<LiveObject[]> {
  const wanted = new Set(objects.map(nameOf(set)))
  const members = await membersOf(cluster, set, contents)
  return inOrder(
    members.filter((member) => !wanted.has(nameOf(set)(member)) && member.metadata.deletionTimestamp === undefined && !isMade(member)),
  ).toReversed()
}

/** Controllers copy the labels of what they make others from: KEDA has its ScaledObject's on the HPA that it makes. */
function isMade({ metadata: { ownerReferences = [] } }: LiveObject): boolean {
  return ownerReferences.length > 0
}

/** What an object is known by, whatever version of the API it was read with. */
function nameOf(set: EndpointSet): (object: KubernetesObject) => string {
  return ({ apiVersion, kind, metadata }) =>
    [apiVersion.split('/').slice(0, -1).join(), kind, metadata.namespace ?? set.namespace, metadata.name].join('/')
}

/** Managers of our own, which are no other party: the rest of what they have is ours to change. */
const OURS: ReadonlySet<string> = new Set([WEIGHTS_MANAGER, SCALING_MANAGER].map((manager) => `belongs to "${manager}"`))

/** The object as it is applied beside others, and what comes of it. */
export async function applyOne(
  cluster: Cluster,
  object: KubernetesObject,
  { dryRun = false, force }: { readonly dryRun?: boolean; readonly force: boolean },
): Promise<{ readonly applied: Applied; readonly before: LiveObject | undefined; readonly live: LiveObject }> {
  const before = await cluster.read(object)
  const [present, wanted] = [before?.metadata.labels?.[PART_OF], object.metadata.labels?.[PART_OF]]
  if (!force && present !== undefined && wanted !== undefined && present !== wanted)
    throw new SlipwayError(
      'SLW_CONFLICT',
      `${object.kind} ${object.metadata.name} is of another apply set, ${present}: another endpoint has it, and one needs another name; --force takes it over`,
    )
  const replicas = replicasToHandOver(object, before)
  if (replicas !== undefined && !dryRun) await handOverReplicas(cluster, object, replicas)
  const beside = besideOthers(object, before)
  const own = replicas !== undefined && dryRun ? withReplicas(beside, replicas) : beside
  if (force && !dryRun && before !== undefined && weightsAreMoved(before)) await keepWeights(cluster, own)
  const live = await cluster.apply(own, { dryRun, force }).catch(async (error: unknown) => {
    const ours = isSlipwayError(error) && error.code === 'SLW_FIELD_CONFLICT'
    if (!ours || error.issues?.every(({ message }) => OURS.has(message)) !== true) throw error
    if (!dryRun && before !== undefined && weightsAreMoved(before)) await keepWeights(cluster, own)
    return await cluster.apply(own, { dryRun, force: true })
  })
  const change = before === undefined ? 'created' : differ(before, live) ? 'changed' : 'unchanged'
  return { applied: { object, change }, before, live }
}

/** What `kubectl rollout history` shows beside the revisions of a Deployment. */
export function withCause(object: KubernetesObject, { number, why }: Revision): KubernetesObject {
  if (object.kind !== 'Deployment') return object
  const { metadata } = object
  const cause = `slipway revision ${number}${why === '' ? '' : `: ${why}`}`
  return { ...object, metadata: { ...metadata, annotations: { ...metadata.annotations, [CHANGE_CAUSE]: cause } } }
}
