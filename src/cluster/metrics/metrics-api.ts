/**
 * The paths of custom.metrics.k8s.io (v1beta1, v1beta2) and external.metrics.k8s.io (v1beta1), as k8s.io/metrics has their types and the
 * HorizontalPodAutoscaler asks for them. Knows no sockets.
 */
import { SlipwayError } from '../../core/errors.ts'
import { SCALING_METRICS } from '../../kubernetes/labels.ts'
import { quantityOf } from './quantity.ts'
import { readSelector } from './selector.ts'
import { EXTERNAL_METRICS } from './sources.ts'
import type { EndpointNumbers, EndpointValue, ExternalMetric, PodNumbers, PodValue, ScalingMetric } from './sources.ts'

/** A group without a source is not served: another adapter may have its APIService. */
export interface MetricSources {
  readonly custom: PodNumbers | undefined
  readonly external: EndpointNumbers | undefined
}

const CUSTOM = 'custom.metrics.k8s.io'
const EXTERNAL = 'external.metrics.k8s.io'

/** Versions of the groups, the preferred one first. */
export const METRIC_GROUPS = { [CUSTOM]: ['v1beta2', 'v1beta1'], [EXTERNAL]: ['v1beta1'] } as const

/**
 * The answer to a GET of a path under /apis.
 * @throws SLW_NOT_FOUND for what there is not, also for numbers of a pod that are missing or stale; SLW_BAD_REQUEST for a selector
 */
export function answerMetrics(sources: MetricSources, { pathname, searchParams }: URL): object {
  const [root, group = '', version = '', ...rest] = pathname.split('/').filter(Boolean).map(decoded)
  const groups = groupsOf(sources)
  if (root === 'apis' && group === '') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(groupOf) }
  if (root === 'apis' && groups.includes(group as keyof typeof METRIC_GROUPS)) {
    const name = group as keyof typeof METRIC_GROUPS
    if (version === '') return { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(name) }
    if ((METRIC_GROUPS[name] as readonly string[]).includes(version)) {
      if (rest.length === 0) return resourcesOf(name, version)
      const [namespaces, namespace, ...asked] = rest
      const labels = searchParams.get('labelSelector') ?? ''
      const metricLabels = searchParams.get('metricLabelSelector') ?? ''
      if (namespaces === 'namespaces' && namespace !== undefined) {
        if (name === CUSTOM && asked.length === 3 && asked[0] === 'pods')
          return podValues(sources.custom!, { version, namespace, pod: asked[1]!, name: asked[2]!, labels, metricLabels })
        if (name === EXTERNAL && asked.length === 1) return externalValues(sources.external!, asked[0]!, labels)
      }
    }
  }
  throw new SlipwayError('SLW_NOT_FOUND', `${pathname} is nothing that is served here`)
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch (error) {
    throw new SlipwayError('SLW_BAD_REQUEST', `"${part}" is no part of an address`, { cause: error })
  }
}

function groupsOf({ custom, external }: MetricSources): (keyof typeof METRIC_GROUPS)[] {
  return [...(custom === undefined ? [] : ([CUSTOM] as const)), ...(external === undefined ? [] : ([EXTERNAL] as const))]
}

function groupOf(name: keyof typeof METRIC_GROUPS): object {
  const versions = METRIC_GROUPS[name].map((version) => ({ groupVersion: `${name}/${version}`, version }))
  return { name, versions, preferredVersion: versions[0] }
}

function resourcesOf(group: keyof typeof METRIC_GROUPS, version: string): object {
  const names = group === CUSTOM ? Object.values(SCALING_METRICS).map((name) => `pods/${name}`) : Object.values(EXTERNAL_METRICS)
  const kind = group === CUSTOM ? 'MetricValueList' : 'ExternalMetricValueList'
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: `${group}/${version}`,
    resources: names.map((name) => ({ name, singularName: '', namespaced: true, kind, verbs: ['get'] })),
  }
}

interface PodsAsked {
  readonly version: string
  readonly namespace: string
  /** `*` means all that `labels` takes. */
  readonly pod: string
  readonly name: string
  readonly labels: string
  readonly metricLabels: string
}

function podValues(source: PodNumbers, { version, namespace, pod, name, labels, metricLabels }: PodsAsked): object {
  const metric = keyNamed(SCALING_METRICS, name)
  const served = readSelector(metricLabels)
  const values = source.values({
    namespace,
    metric,
    ...(pod !== '*' && { pod }),
    labels: readSelector(labels).takes,
    served: served.takes,
  })
  if (pod !== '*' && values.length === 0)
    throw new SlipwayError('SLW_NOT_FOUND', `pod "${namespace}/${pod}" has no ${name}: it is no server that answers, or has just started`)
  return list(
    'MetricValueList',
    `${CUSTOM}/${version}`,
    values.map((value) => podValue(version, name, served.object, value)),
  )
}

function podValue(version: string, name: string, selector: object | null, { namespace, pod, atMs, windowMs, value }: PodValue): object {
  const describedObject = { kind: 'Pod', namespace, name: pod, apiVersion: 'v1' }
  const measured = { timestamp: timeOf(atMs), value: quantityOf(value) }
  const seconds = Math.round(windowMs / 1000)
  return version === 'v1beta1'
    ? { describedObject, metricName: name, ...measured, window: seconds, selector }
    : { describedObject, metric: { name, selector }, ...measured, windowSeconds: seconds }
}

function externalValues(source: EndpointNumbers, name: string, labels: string): object {
  const values = source.values(keyNamed(EXTERNAL_METRICS, name), readSelector(labels).takes)
  return list(
    'ExternalMetricValueList',
    `${EXTERNAL}/v1beta1`,
    values.map((value) => externalValue(name, value)),
  )
}

function externalValue(name: string, { labels, atMs, windowMs, value }: EndpointValue): object {
  return {
    metricName: name,
    metricLabels: labels,
    timestamp: timeOf(atMs),
    window: Math.round(windowMs / 1000),
    value: quantityOf(value),
  }
}

function list(kind: string, apiVersion: string, items: readonly object[]): object {
  return { kind, apiVersion, metadata: {}, items }
}

/** Times of Kubernetes have whole seconds (metav1.Time). */
function timeOf(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`
}

/** @throws SLW_NOT_FOUND naming the metrics that there are */
function keyNamed<Key extends ScalingMetric | ExternalMetric>(metrics: Readonly<Record<Key, string>>, name: string): Key {
  const found = (Object.keys(metrics) as Key[]).find((key) => metrics[key] === name)
  if (found !== undefined) return found
  throw new SlipwayError('SLW_NOT_FOUND', `there is no metric "${name}"; there are ${Object.values(metrics).join(', ')}`)
}
