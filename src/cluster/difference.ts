import { createHmac, randomBytes } from 'node:crypto'
import { contentsOf, memberOf, PART_OF } from './apply-set.ts'
import { applyOne, CHANGE_CAUSE, leftOver } from './apply.ts'
import { changesBetween, isObject, ownersOf, pathText } from './fields.ts'
import { inOrder } from './order.ts'
import { declared } from './shared-fields.ts'
import { MANAGER } from '../kubernetes/labels.ts'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { Cluster, LiveObject } from './cluster.ts'
import type { FieldChange } from './fields.ts'
import type { EndpointSet } from './revisions.ts'

/** Digests show that a value is another one, and are worth nothing to who would guess it. */
const KEY = randomBytes(32)

export interface FieldDifference {
  /** `spec.template.spec.containers[name=slipway].image` */
  readonly path: string
  readonly before: unknown
  readonly after: unknown
  /** Others who have set what is there now: drift. Empty for a change of ours. */
  readonly owners: readonly string[]
}

export interface ObjectDifference {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string | undefined
  readonly name: string
  readonly change: 'created' | 'changed' | 'removed'
  readonly fields: readonly FieldDifference[]
}

/**
 * What applying would change: the API server is asked what would come of it, with the defaults and the decisions of others that it alone
 * knows, and that is held against what is there. Values of Secrets are digests.
 */
export async function differences(cluster: Cluster, set: EndpointSet, objects: readonly KubernetesObject[]): Promise<ObjectDifference[]> {
  const found: ObjectDifference[] = []
  for (const object of inOrder(objects)) {
    // By force, as what would be taken from others is what is to be seen.
    const { before, live } = await applyOne(cluster, memberOf(set, object), { dryRun: true, force: true })
    if (before === undefined) {
      found.push({ ...identityOf(object), change: 'created', fields: [] })
      continue
    }
    const fields = changesBetween(masked(before), masked(live))
      .filter(isShown)
      .map((change) => differenceOf(before, change))
    if (fields.length > 0) found.push({ ...identityOf(object), change: 'changed', fields })
  }
  const gone = await leftOver(cluster, set, await contentsOf(cluster, set), objects)
  return [...found, ...gone.map((object): ObjectDifference => ({ ...identityOf(object), change: 'removed', fields: [] }))]
}

/** An object's own fields may be those of a Secret: they are not among what is shown. */
function identityOf({ apiVersion, kind, metadata: { namespace, name } }: KubernetesObject): Omit<ObjectDifference, 'change' | 'fields'> {
  return { apiVersion, kind, namespace, name }
}

/** What is applied beside a document says nothing of it. */
function isShown({ path }: FieldChange): boolean {
  return !path.includes(PART_OF) && !path.includes(CHANGE_CAUSE)
}

function differenceOf(live: LiveObject, { path, before, after }: FieldChange): FieldDifference {
  const owners = before === undefined ? [] : ownersOf(live, path).filter((owner) => owner !== MANAGER)
  return { path: pathText(path), before, after, owners }
}

function masked(object: LiveObject): object {
  const own = declared(object)
  if (object.kind !== 'Secret') return own
  const fields = ['data', 'stringData'].map((name) => [name, maskedValues(object[name])] as const)
  return { ...own, ...Object.fromEntries(fields.filter(([, values]) => values !== undefined)) }
}

function maskedValues(values: unknown): object | undefined {
  if (!isObject(values)) return undefined
  const digest = (value: unknown): string => createHmac('sha256', KEY).update(String(value)).digest('hex').slice(0, 8)
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, `*** (${digest(value)})`]))
}
