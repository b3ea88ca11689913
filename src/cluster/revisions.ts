/** Revisions of an endpoint on a cluster: each set that was applied, kept there, so that it can be applied again. */
import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { SlipwayError } from '../core/errors.ts'
import { ENDPOINT_LABEL } from '../kubernetes/labels.ts'
import { labelValue } from '../kubernetes/names.ts'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { ApplySet } from './apply-set.ts'
import type { Cluster, LiveObject } from './cluster.ts'

const REVISION = 'slipway.dev/revision'
const DIGEST = 'slipway.dev/digest'
const WHO = 'slipway.dev/applied-by'
const WHEN = 'slipway.dev/applied-at'
const WHY = 'slipway.dev/reason'
const STATE = 'slipway.dev/state'
/** So many are kept. */
const KEPT = 10
/** Of a revision that is unpacked: far more than an endpoint has, and what a ConfigMap can hold may unpack to more. */
const UNPACKED_MAX = 32 * 2 ** 20
const MANAGER = 'slipway-revisions'

export interface Revision {
  readonly number: number
  /** SHA-256 of the objects. */
  readonly digest: string
  readonly who: string
  /** RFC 3339. */
  readonly when: string
  readonly why: string
  /** `applying` until all of it was applied. */
  readonly state: 'applying' | 'applied'
}

/** A revision and the ConfigMap that holds it. */
export interface KeptRevision {
  readonly revision: Revision
  readonly object: LiveObject
}

export interface Cause {
  readonly who: string
  /** Default: none. */
  readonly why?: string
}

/** The set that an endpoint is applied as. */
export interface EndpointSet extends ApplySet {
  readonly endpoint: string
}

/** Digest of objects, whatever the order of their fields is. */
export function digestOf(objects: readonly KubernetesObject[]): string {
  return createHash('sha256').update(JSON.stringify(objects, sorted)).digest('hex')
}

function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** The newest first. */
export async function revisions(cluster: Cluster, set: EndpointSet): Promise<KeptRevision[]> {
  const selector = `${ENDPOINT_LABEL}=${labelValue(set.endpoint)},${REVISION}`
  const found = await cluster.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace: set.namespace, selector })
  return found.map(revisionOf).toSorted((a, b) => b.revision.number - a.revision.number)
}

function revisionOf(object: LiveObject): KeptRevision {
  const { labels = {}, annotations = {} } = object.metadata
  return {
    revision: {
      number: Number(labels[REVISION]),
      digest: annotations[DIGEST] ?? '',
      who: annotations[WHO] ?? '',
      when: annotations[WHEN] ?? '',
      why: annotations[WHY] ?? '',
      state: annotations[STATE] === 'applied' ? 'applied' : 'applying',
    },
    object,
  }
}

/**
 * Keeps a set before it is applied. One that is as the newest is the newest: applying again what was ended makes no other revision.
 * @returns the revision, and what says that all of it was applied
 */
export async function keepRevision(
  cluster: Cluster,
  set: EndpointSet,
  objects: readonly KubernetesObject[],
  { who, why = '' }: Cause,
): Promise<{ readonly revision: Revision; readonly applied: () => Promise<void> }> {
  const kept = await revisions(cluster, set)
  const digest = digestOf(objects)
  const newest = kept[0]?.revision
  const revision: Revision =
    newest?.digest === digest
      ? newest
      : { number: (newest?.number ?? 0) + 1, digest, who, when: new Date().toISOString(), why, state: 'applying' }
  const write = async (state: Revision['state']): Promise<void> => {
    await cluster.apply(configMapOf(set, { ...revision, state }, objects), { manager: MANAGER, force: true })
  }
  if (newest?.digest !== digest) await write('applying')
  return {
    revision,
    async applied() {
      if (revision.state !== 'applied') await write('applied')
      const others = kept.filter((one) => one.revision.number !== revision.number)
      for (const { object } of others.slice(KEPT - 1)) await cluster.remove(object)
    },
  }
}

function configMapOf(
  { name, namespace, endpoint }: EndpointSet,
  revision: Revision,
  objects: readonly KubernetesObject[],
): KubernetesObject {
  const { number, digest, who, when, why, state } = revision
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: `${name}-revision-${number}`,
      namespace,
      labels: { [ENDPOINT_LABEL]: labelValue(endpoint), [REVISION]: String(number), 'app.kubernetes.io/managed-by': 'slipway' },
      annotations: { [DIGEST]: digest, [WHO]: who, [WHEN]: when, [WHY]: why, [STATE]: state },
    },
    binaryData: { objects: gzipSync(JSON.stringify(objects)).toString('base64') },
  }
}

/** @throws SLW_STORE_CORRUPT where somebody has changed it */
export function objectsOf({ object, revision: { number, digest } }: KeptRevision): KubernetesObject[] {
  const { objects } = (object['binaryData'] ?? {}) as { readonly objects?: string }
  try {
    const text = gunzipSync(Buffer.from(objects ?? '', 'base64'), { maxOutputLength: UNPACKED_MAX }).toString('utf8')
    const found = JSON.parse(text) as KubernetesObject[]
    if (digestOf(found) === digest) return found
  } catch {
    // Told below.
  }
  const { namespace = '', name } = object.metadata
  throw new SlipwayError('SLW_STORE_CORRUPT', `ConfigMap ${namespace}/${name} does not hold what was kept as revision ${number}`)
}

/** An undo that was ended is finished by the next: what it went away from is no place to go back to. */
function endedUndo([newest, ...older]: readonly KeptRevision[]): KeptRevision | undefined {
  const isUndo = newest?.revision.state === 'applying' && newest.revision.why.startsWith('undo to revision ')
  return isUndo && older.some(({ revision }) => revision.digest === newest.revision.digest) ? newest : undefined
}

/**
 * The revision to go back to.
 * @param to its number. Default: the newest before the present one that was applied as a whole
 * @throws SLW_NOT_FOUND where it is not kept
 */
export async function revisionToUndo(cluster: Cluster, set: EndpointSet, to?: number): Promise<KeptRevision> {
  const kept = await revisions(cluster, set)
  const found =
    to === undefined
      ? (endedUndo(kept) ?? kept.slice(1).find(({ revision }) => revision.state === 'applied'))
      : kept.find(({ revision }) => revision.number === to)
  if (found !== undefined) return found
  const where = `"${set.endpoint}" in namespace ${set.namespace}`
  const numbers = kept.map(({ revision }) => revision.number).join(', ')
  throw new SlipwayError(
    'SLW_NOT_FOUND',
    kept.length === 0
      ? `${where} was never applied`
      : to === undefined
        ? `${where} has no revision before ${kept[0]?.revision.number ?? 0}`
        : `${where} has no revision ${to}; kept are ${numbers}`,
  )
}
