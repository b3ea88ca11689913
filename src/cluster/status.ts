import { isSlipwayError } from '../core/errors.ts'
import { VARIANT_LABEL } from '../kubernetes/labels.ts'
import { applySetId, PART_OF } from './apply-set.ts'
import { differences } from './difference.ts'
import { objectsOf, revisions } from './revisions.ts'
import { deploymentState, podsOf, podState } from './rollout.ts'
import { WEIGHED_KINDS, weightsAreMoved, withWeights } from './shared-fields.ts'
import type { Cluster, LiveObject } from './cluster.ts'
import type { ObjectDifference } from './difference.ts'
import type { EndpointSet, KeptRevision, Revision } from './revisions.ts'
import type { DeploymentState, PodState } from './rollout.ts'

export interface Scaling {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly present: number
  readonly wanted: number
  /** Such as `slipway_requests_per_second 12 of 10`. */
  readonly metrics: readonly string[]
  /** Why it cannot scale; undefined where it can. */
  readonly trouble: string | undefined
}

export interface VariantStatus {
  readonly variant: string
  readonly image: string
  readonly deployment: DeploymentState
  readonly pods: readonly PodState[]
  /** Undefined where nobody scales. */
  readonly scaling: Scaling | undefined
}

export interface RouteStatus {
  readonly kind: string
  readonly name: string
  readonly weights: readonly { readonly target: string; readonly weight: number }[]
  /** Whether a rollout moves them. */
  readonly areMoved: boolean
}

export interface EndpointStatus {
  readonly endpoint: string
  readonly namespace: string
  /** The newest; undefined where it was never applied. */
  readonly revision: Revision | undefined
  readonly variants: readonly VariantStatus[]
  readonly routes: readonly RouteStatus[]
  /** What others have changed since it was applied; undefined where whoever asks may not ask for it, as it takes the right to patch. */
  readonly drift: readonly ObjectDifference[] | undefined
}

/** How an endpoint is on a cluster. */
export async function statusOf(cluster: Cluster, set: EndpointSet): Promise<EndpointStatus> {
  const [newest] = await revisions(cluster, set)
  const member = { namespace: set.namespace, selector: `${PART_OF}=${applySetId(set)}` }
  const deployments = await cluster.list({ apiVersion: 'apps/v1', kind: 'Deployment', ...member })
  const scalers = await cluster.list({ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', namespace: set.namespace })
  const variants = await Promise.all(deployments.map((one) => variantStatus(cluster, one, scalers)))
  const routes = (await Promise.all(WEIGHED_KINDS.map((kind) => routesOf(cluster, kind, member)))).flat()
  const drift = newest === undefined ? [] : await driftOf(cluster, set, newest)
  return {
    endpoint: set.endpoint,
    namespace: set.namespace,
    revision: newest?.revision,
    variants: variants.toSorted((a, b) => (a.variant < b.variant ? -1 : 1)),
    routes,
    drift,
  }
}

async function driftOf(cluster: Cluster, set: EndpointSet, newest: KeptRevision): Promise<ObjectDifference[] | undefined> {
  const found = await differences(cluster, set, objectsOf(newest)).catch((error: unknown) => {
    if (isSlipwayError(error) && error.code === 'SLW_CLUSTER_FORBIDDEN') return undefined
    throw error
  })
  return found?.flatMap((one) => drifted(one, newest.revision.state === 'applied'))
}

/** What somebody else has set, or removed. */
function drifted(difference: ObjectDifference, wasApplied: boolean): ObjectDifference[] {
  if (difference.change !== 'changed') return [difference]
  const fields = difference.fields.filter(({ owners, before }) => owners.length > 0 || (wasApplied && before === undefined))
  return fields.length === 0 ? [] : [{ ...difference, fields }]
}

async function variantStatus(cluster: Cluster, deployment: LiveObject, scalers: readonly LiveObject[]): Promise<VariantStatus> {
  const { template } = deployment['spec'] as {
    readonly template: {
      readonly metadata?: { readonly labels?: Readonly<Record<string, string>> }
      readonly spec: { readonly containers: readonly { readonly image: string }[] }
    }
  }
  const pods = await Promise.all((await podsOf(cluster, deployment)).map((pod) => podState(cluster, pod)))
  const { labels = {}, name } = deployment.metadata
  const scaler = scalers.find(
    ({ spec }) => (spec as ScalerSpec).scaleTargetRef.kind === 'Deployment' && (spec as ScalerSpec).scaleTargetRef.name === name,
  )
  return {
    variant: labels[VARIANT_LABEL] ?? template.metadata?.labels?.[VARIANT_LABEL] ?? name,
    image: template.spec.containers[0]?.image ?? '',
    deployment: deploymentState(deployment),
    pods: pods.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    scaling: scaler === undefined ? undefined : scalingOf(scaler),
  }
}

interface ScalerSpec {
  readonly scaleTargetRef: { readonly kind: string; readonly name: string }
  readonly minReplicas?: number
  readonly maxReplicas: number
  readonly metrics?: readonly Metric[]
}

type Amount = { readonly averageValue?: string; readonly value?: string; readonly averageUtilization?: number }
interface Metric {
  readonly type: string
  readonly [source: string]: unknown
}

function scalingOf({ metadata, ...object }: LiveObject): Scaling {
  const spec = object['spec'] as ScalerSpec
  const status = (object['status'] ?? {}) as {
    readonly currentReplicas?: number
    readonly desiredReplicas?: number
    readonly currentMetrics?: readonly Metric[] | null
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[]
  }
  const inactive = status.conditions?.find(({ type, status: is }) => type === 'ScalingActive' && is === 'False')
  return {
    name: metadata.name,
    min: spec.minReplicas ?? 1,
    max: spec.maxReplicas,
    present: status.currentReplicas ?? 0,
    wanted: status.desiredReplicas ?? 0,
    metrics: (spec.metrics ?? []).map((metric) => metricText(metric, status.currentMetrics ?? [])),
    trouble: inactive?.message,
  }
}

function metricText(metric: Metric, present: readonly Metric[]): string {
  const { name, amount: target } = sourceOf(metric, 'target')
  const found = present.map((one) => sourceOf(one, 'current')).find((one) => one.name === name)
  return `${name} ${found === undefined ? 'unknown' : amountText(found.amount)} of ${amountText(target)}`
}

/** A metric's source lies under its type: `pods`, `resource`, `external`. */
function sourceOf(metric: Metric, field: 'target' | 'current'): { readonly name: string; readonly amount: Amount } {
  const key = `${metric.type.charAt(0).toLowerCase()}${metric.type.slice(1)}`
  const source = (metric[key] ?? {}) as { readonly name?: string; readonly metric?: { readonly name: string } } & Record<string, unknown>
  return { name: source.metric?.name ?? source.name ?? key, amount: (source[field] ?? {}) as Amount }
}

function amountText({ averageUtilization, averageValue, value }: Amount): string {
  return averageUtilization === undefined ? (averageValue ?? value ?? 'unknown') : `${averageUtilization}%`
}

async function routesOf(
  cluster: Cluster,
  [group, kind]: (typeof WEIGHED_KINDS)[number],
  member: { readonly namespace: string; readonly selector: string },
): Promise<RouteStatus[]> {
  const apiVersion = await cluster.versionOf(group, kind)
  if (apiVersion === undefined) return []
  const found = await cluster.list({ apiVersion, kind, ...member })
  return found.map((route) => ({ kind, name: route.metadata.name, weights: weightsOf(route), areMoved: weightsAreMoved(route) }))
}

function weightsOf(route: LiveObject): { target: string; weight: number }[] {
  const weights: { target: string; weight: number }[] = []
  withWeights(route, (target) => {
    const {
      name,
      destination,
      weight = 1,
    } = target as { readonly name?: string; readonly destination?: Destination; readonly weight?: number }
    const subset = destination?.subset === undefined ? '' : `/${destination.subset}`
    weights.push({ target: name ?? `${destination?.host ?? ''}${subset}`, weight })
    return undefined
  })
  return weights
}

/** Of a VirtualService. */
export interface Destination {
  readonly host: string
  readonly subset?: string
}
