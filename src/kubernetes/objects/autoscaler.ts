import { SCALING_METRICS } from '../labels.ts'
import { labelsOf } from '../resolve.ts'
import { prometheusQuery } from './prometheus-query.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'

const DEFAULT_CPU_PERCENT = 70
const SCALE_DOWN_SECONDS = 300

/** Who sets the number of pods: an HPA or a ScaledObject of KEDA for each Deployment, never both. */
export function autoscalers(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { scaler, workloads } = resolved
  if (scaler === undefined) return []
  return workloads.map((workload) => (scaler === 'hpa' ? horizontalAutoscaler(resolved, workload) : scaledObject(resolved, workload)))
}

/** More pods at once where they are needed, fewer only after a while of less. */
function behavior({ options }: ResolvedKubernetes): object {
  return {
    scaleUp: {
      stabilizationWindowSeconds: 0,
      selectPolicy: 'Max',
      policies: [
        { type: 'Percent', value: 100, periodSeconds: 15 },
        { type: 'Pods', value: 4, periodSeconds: 15 },
      ],
    },
    scaleDown: {
      stabilizationWindowSeconds: options.scaling?.scaleDownSeconds ?? SCALE_DOWN_SECONDS,
      policies: [{ type: 'Percent', value: 50, periodSeconds: 60 }],
    },
  }
}

function horizontalAutoscaler(resolved: ResolvedKubernetes, workload: Workload): KubernetesObject {
  const { namespace, spec, options } = resolved
  const { minReplicas, maxReplicas, metric = 'cpu', targetValue } = spec.autoscaling!
  const external = options.scaling?.external
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: workload.name, namespace, labels: labelsOf(resolved, workload) },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: workload.name },
      minReplicas,
      maxReplicas,
      metrics: [
        metric === 'cpu'
          ? {
              type: 'Resource',
              resource: {
                name: 'cpu',
                target: { type: 'Utilization', averageUtilization: Math.round(targetValue ?? DEFAULT_CPU_PERCENT) },
              },
            }
          : {
              type: 'Pods',
              pods: { metric: { name: SCALING_METRICS[metric] }, target: { type: 'AverageValue', averageValue: quantity(targetValue!) } },
            },
        ...(external === undefined
          ? []
          : [
              {
                type: 'External',
                external: {
                  metric: {
                    name: external.metric,
                    ...(external.selector !== undefined && { selector: { matchLabels: external.selector } }),
                  },
                  target: { type: 'AverageValue', averageValue: external.averageValue },
                },
              },
            ]),
      ],
      behavior: behavior(resolved),
    },
  }
}

/** As Kubernetes writes it: thousandths where it is not whole. */
function quantity(value: number): string {
  return Number.isInteger(value) ? String(value) : `${Math.max(1, Math.round(value * 1000))}m`
}

function scaledObject(resolved: ResolvedKubernetes, workload: Workload): KubernetesObject {
  const { namespace, spec } = resolved
  const { minReplicas, maxReplicas } = spec.autoscaling!
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: { name: workload.name, namespace, labels: labelsOf(resolved, workload) },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: workload.name },
      minReplicaCount: minReplicas,
      maxReplicaCount: maxReplicas,
      // What cannot be asked changes nothing. KEDA has this for metrics of its own alone.
      ...(asksOthers(resolved) && {
        fallback: { failureThreshold: 3, replicas: Math.max(1, minReplicas), behavior: 'currentReplicasIfHigher' },
      }),
      advanced: { horizontalPodAutoscalerConfig: { behavior: behavior(resolved) } },
      triggers: triggersOf(resolved, workload),
    },
  }
}

function asksOthers({ options: { scaling = {} } }: ResolvedKubernetes): boolean {
  return scaling.kafka !== undefined || scaling.prometheus !== undefined
}

function triggersOf(resolved: ResolvedKubernetes, workload: Workload): object[] {
  const { spec, options } = resolved
  const { metric = 'cpu', targetValue, minReplicas } = spec.autoscaling!
  const { schedule = [], kafka, prometheus } = options.scaling ?? {}
  const triggers: object[] = schedule.map(({ start, end, timeZone = 'UTC', replicas }) => ({
    type: 'cron',
    metadata: { timezone: timeZone, start, end, desiredReplicas: String(replicas) },
  }))
  if (kafka !== undefined)
    triggers.push({
      type: 'kafka',
      metadata: {
        bootstrapServers: kafka.bootstrapServers,
        consumerGroup: kafka.consumerGroup,
        topic: kafka.topic,
        lagThreshold: String(kafka.lagThreshold),
      },
    })
  // CPU can neither wake what sleeps nor put it to sleep.
  if (metric === 'cpu' && minReplicas > 0)
    triggers.push({ type: 'cpu', metricType: 'Utilization', metadata: { value: String(Math.round(targetValue ?? DEFAULT_CPU_PERCENT)) } })
  else if (metric !== 'cpu')
    triggers.push({
      type: 'prometheus',
      metadata: {
        serverAddress: prometheus!,
        query: prometheusQuery(metric, resolved, workload),
        threshold: String(targetValue!),
        // An empty answer is a scrape that failed, not a quiet hour.
        ignoreNullValues: 'false',
      },
    })
  return triggers
}
