import { SCALING_METRICS } from '../../labels.ts'
import { containersOf, resourceOf, runningContainersOf } from '../pod-templates.ts'
import { aimOf, scalerOf, scalersOf, targetOf } from '../scalers.ts'
import { at, isBeside, listAt, numberAt, textAt, wordOf } from '../values.ts'
import type { KubernetesObject } from '../../object.ts'
import type { Manifests } from '../manifests.ts'
import type { Rule } from '../rule.ts'

const HPA_DOC = 'https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/'
const KEDA_DOC = 'https://keda.sh/docs/latest/reference/scaledobject-spec/'

const hpasOf = (manifests: Manifests): KubernetesObject[] => scalersOf(manifests).filter(({ kind }) => kind === 'HorizontalPodAutoscaler')
const kedasOf = (manifests: Manifests): KubernetesObject[] => scalersOf(manifests).filter(({ kind }) => kind === 'ScaledObject')
const isOwnMetric = (name: string): boolean => Object.values<string>(SCALING_METRICS).includes(name)

/** Whether a metric is named in what serves metrics, such as the rules of an adapter. */
function isServed(name: string, { configText }: Manifests): boolean {
  return configText().includes(name)
}

/** Kinds that scale what they make themselves are not asked. */
const SCALED_KINDS = new Set(['Deployment', 'StatefulSet', 'ReplicaSet', 'Rollout'])

export const SCALING_RULES: readonly Rule[] = [
  {
    id: 'two-scalers',
    severity: 'error',
    what: 'One scaler has one target.',
    why: 'KEDA makes an HPA of its own for a ScaledObject; with a second one each sets back what the other has set, and the number of pods swings.',
    readMore: KEDA_DOC,
    *check(manifests) {
      const seen = new Map<string, KubernetesObject[]>()
      for (const object of scalersOf(manifests)) {
        const { kind, name } = aimOf(object)
        const before = seen.get(`${kind}/${name}`) ?? []
        seen.set(`${kind}/${name}`, [...before, object])
        const earlier = before.find((one) => isBeside(one, object))
        if (earlier !== undefined)
          yield {
            object,
            path: ['spec', 'scaleTargetRef'],
            message: `${kind} ${name} is scaled by ${earlier.kind} ${earlier.metadata.name} already: keep one of them, with the triggers of both`,
          }
      }
    },
  },
  {
    id: 'scaler-target',
    severity: 'warning',
    what: 'What is scaled is there.',
    why: 'An HPA or ScaledObject whose target does not exist does nothing, and says so in its own status alone.',
    readMore: HPA_DOC,
    *check(manifests) {
      for (const object of scalersOf(manifests)) {
        const { kind, name } = aimOf(object)
        if (!SCALED_KINDS.has(kind) || targetOf(object, manifests) !== undefined) continue
        const others = manifests.objects.filter((one) => SCALED_KINDS.has(one.kind) && isBeside(one, object))
        if (others.length > 0)
          yield {
            object,
            path: ['spec', 'scaleTargetRef', 'name'],
            message: `there is no ${kind} ${name} among the manifests, but ${others
              .map((one) => `${one.kind} ${one.metadata.name}`)
              .slice(0, 3)
              .join(', ')}`,
          }
      }
    },
  },
  {
    id: 'replicas-scaled',
    severity: 'warning',
    what: 'What is scaled says no number of pods.',
    why: 'Each apply sets the number back to what the file says: under load an HPA with ten pods has two of them after a release, until it has scaled again.',
    readMore: 'https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#replicas',
    *check(manifests) {
      for (const scaler of scalersOf(manifests)) {
        const object = targetOf(scaler, manifests)
        if (object !== undefined && at(object, 'spec', 'replicas') !== undefined)
          yield {
            object,
            path: ['spec', 'replicas'],
            message: `replicas stands here, and ${scaler.kind} ${scaler.metadata.name} scales: leave it out`,
          }
      }
    },
  },
  {
    id: 'utilization-request',
    severity: 'error',
    what: 'What is scaled by a share of a resource asks for that resource.',
    why: 'Utilization is use divided by request. Where one container of the pod has no request the HPA has no value, and never scales.',
    readMore: HPA_DOC,
    *check(manifests) {
      for (const pod of manifests.pods) {
        const scaler = scalerOf(pod.object, manifests)
        if (scaler === undefined) continue
        const names =
          scaler.kind === 'ScaledObject'
            ? listAt(scaler, 'spec', 'triggers')
                .filter((trigger) => (textAt(trigger, 'metricType') ?? textAt(trigger, 'metadata', 'type')) !== 'AverageValue')
                .map((trigger) => textAt(trigger, 'type'))
            : at(scaler, 'spec', 'targetCPUUtilizationPercentage') !== undefined
              ? ['cpu']
              : listAt(scaler, 'spec', 'metrics')
                  .filter((metric) => at(metric, 'resource', 'target', 'averageUtilization') !== undefined)
                  .map((metric) => textAt(metric, 'resource', 'name'))
        for (const name of names)
          if (name === 'cpu' || name === 'memory')
            for (const of of runningContainersOf(pod))
              if (resourceOf(of, 'requests', name) === undefined && resourceOf(of, 'limits', name) === undefined)
                yield {
                  object: pod.object,
                  path: of.path,
                  message: `${scaler.kind} ${scaler.metadata.name} scales by a share of ${name}, and container ${of.name} asks for none: set requests.${name}`,
                }
      }
    },
  },
  {
    id: 'metric-served',
    severity: 'warning',
    what: 'Somebody serves the metric of pods or objects that is scaled by.',
    why: 'A cluster has metrics of CPU and memory at most. Any other has to come from an adapter with a rule for it; without, the HPA says FailedGetPodsMetric and leaves the number as it is.',
    readMore: 'https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#support-for-metrics-apis',
    *check(manifests) {
      for (const object of hpasOf(manifests))
        for (const [index, metric] of listAt(object, 'spec', 'metrics').entries())
          for (const kind of ['pods', 'object']) {
            const name = textAt(metric, kind, 'metric', 'name')
            if (name !== undefined && !isOwnMetric(name) && !isServed(name, manifests))
              yield {
                object,
                path: ['spec', 'metrics', index, kind, 'metric', 'name'],
                message: `${name} is a metric that nothing among the manifests serves: add a rule of an adapter, or scale by one of \`slipway metrics-adapter\` (${Object.values(SCALING_METRICS).join(', ')})`,
              }
          }
    },
  },
  {
    id: 'external-metric',
    severity: 'advice',
    what: 'An external metric comes from an adapter that is known.',
    why: 'A cluster has one server of external metrics: where that of KEDA is installed, an adapter of another cannot be, and the HPA finds no metric.',
    readMore: 'https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#support-for-metrics-apis',
    *check(manifests) {
      for (const object of hpasOf(manifests))
        for (const [index, metric] of listAt(object, 'spec', 'metrics').entries()) {
          const name = textAt(metric, 'external', 'metric', 'name')
          if (name !== undefined && !isServed(name, manifests))
            yield {
              object,
              path: ['spec', 'metrics', index, 'external', 'metric', 'name'],
              message: `${name} has to come from whoever serves external.metrics.k8s.io in the cluster, which has place for one`,
            }
        }
    },
  },
  {
    id: 'hpa-to-zero',
    severity: 'warning',
    what: 'An HPA keeps one pod or more.',
    why: 'minReplicas 0 is refused unless the gate HPAScaleToZero is on, which it is in no cluster by default; KEDA can go to zero and come back.',
    readMore: HPA_DOC,
    *check(manifests) {
      for (const object of hpasOf(manifests))
        if (at(object, 'spec', 'minReplicas') === 0)
          yield {
            object,
            path: ['spec', 'minReplicas'],
            message: 'minReplicas 0 needs the feature gate HPAScaleToZero: set 1, or use KEDA',
          }
    },
  },
  {
    id: 'keda-asleep',
    severity: 'error',
    what: 'What KEDA puts to sleep is woken by something that exists without pods.',
    why: 'CPU and memory are measured in pods: without pods there is nothing to measure, and what has gone to zero never comes back. minReplicaCount is 0 where nothing is said.',
    readMore: 'https://keda.sh/docs/latest/scalers/cpu/',
    *check(manifests) {
      for (const object of kedasOf(manifests)) {
        const types = listAt(object, 'spec', 'triggers').map((trigger) => textAt(trigger, 'type'))
        const least = numberAt(object, 'spec', 'minReplicaCount') ?? 0
        if (types.length > 0 && types.every((type) => type === 'cpu' || type === 'memory') && least === 0)
          yield {
            object,
            path: at(object, 'spec', 'minReplicaCount') === undefined ? ['spec'] : ['spec', 'minReplicaCount'],
            message: `minReplicaCount is 0${at(object, 'spec', 'minReplicaCount') === undefined ? ' by default' : ''}, and ${types.join(' and ')} cannot wake what sleeps: set it to 1 or more`,
          }
      }
    },
  },
  {
    id: 'keda-empty-answer',
    severity: 'warning',
    what: 'An empty answer of Prometheus does not count as no load.',
    why: 'Without `ignoreNullValues: "false"` a scrape that fails reads as 0, and KEDA takes pods away in the middle of the day.',
    readMore: 'https://keda.sh/docs/latest/scalers/prometheus/',
    *check(manifests) {
      for (const object of kedasOf(manifests))
        for (const [index, trigger] of listAt(object, 'spec', 'triggers').entries())
          if (textAt(trigger, 'type') === 'prometheus' && wordOf(at(trigger, 'metadata', 'ignoreNullValues')) !== 'false')
            yield {
              object,
              path: ['spec', 'triggers', index],
              message: 'an empty answer of Prometheus counts as 0 requests: set ignoreNullValues to "false", and a fallback',
            }
    },
  },
  {
    id: 'cron-scales',
    severity: 'warning',
    what: 'Scaling by time is done by who scales, and not by a job beside it.',
    why: 'A CronJob that runs `kubectl scale` is undone by an HPA seconds later, is forbidden without a role of its own, and leaves the number wrong when one run fails.',
    readMore: 'https://keda.sh/docs/latest/scalers/cron/',
    *check({ pods }) {
      for (const pod of pods.filter(({ object }) => object.kind === 'CronJob'))
        for (const { container, path, name } of containersOf(pod)) {
          const line = [...listAt(container, 'command'), ...listAt(container, 'args')].join(' ')
          if (!/\bkubectl\b.*\b(scale|patch)\b/.test(line)) continue
          const field = at(container, 'command') === undefined ? 'args' : 'command'
          const isAllowed = textAt(pod.spec, 'serviceAccountName') !== undefined
          yield {
            object: pod.object,
            path: [...path, field],
            message: `container ${name} scales by kubectl${isAllowed ? '' : ', which the service account of the namespace may not'}: use a trigger \`cron\` of KEDA, which works beside other triggers`,
          }
        }
    },
  },
]
