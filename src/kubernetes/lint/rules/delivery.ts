import { scalersOf, targetOf } from '../scalers.ts'
import { at, groupOf, isBeside, listAt, mapAt, numberAt, textAt, wordOf } from '../values.ts'
import type { KubernetesObject } from '../../object.ts'
import type { Manifests } from '../manifests.ts'
import type { Rule } from '../rule.ts'
import type { Path } from '../values.ts'

const ANALYSIS_DOC = 'https://argo-rollouts.readthedocs.io/en/stable/features/analysis/'
const SYNC_DOC = 'https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/'

const isArgo = (object: KubernetesObject, ...kinds: string[]): boolean => groupOf(object) === 'argoproj.io' && kinds.includes(object.kind)

interface Metric {
  readonly object: KubernetesObject
  readonly path: Path
  readonly name: string
  readonly passes: string | undefined
  readonly fails: string | undefined
  readonly query: string
}

/** Metrics of analyses that ask Prometheus, or what answers with lists like it. */
function* metricsOf({ objects }: Manifests): Generator<Metric> {
  for (const object of objects.filter((one) => isArgo(one, 'AnalysisTemplate', 'ClusterAnalysisTemplate')))
    for (const [index, metric] of listAt(object, 'spec', 'metrics').entries()) {
      const query = textAt(metric, 'provider', 'prometheus', 'query')
      if (query === undefined) continue
      yield {
        object,
        path: ['spec', 'metrics', index],
        name: textAt(metric, 'name') ?? wordOf(index),
        passes: textAt(metric, 'successCondition'),
        fails: textAt(metric, 'failureCondition'),
        query,
      }
    }
}

/** Why a metric without an answer counts as a good one. */
function passingOnNothing({ passes, query }: Metric): string | undefined {
  if (/\bor\s+(on\s*\(\s*\)\s+)?vector\s*\(/.test(query)) return 'the query puts a number in the place of no answer'
  if (passes === undefined) return 'there is no successCondition, so whatever is not failed has passed'
  return /len\(\s*result\s*\)\s*==\s*0|(?<![!\w])isNaN\([^)]*\)\s*\|\||\|\|\s*isNaN\(|default\(/.test(passes)
    ? 'successCondition holds where there is no answer'
    : undefined
}

function ignoresReplicas(application: KubernetesObject): boolean {
  return listAt(application, 'spec', 'ignoreDifferences').some(
    (one) =>
      listAt(one, 'jsonPointers').includes('/spec/replicas') ||
      listAt(one, 'jqPathExpressions').includes('.spec.replicas') ||
      listAt(one, 'managedFieldsManagers').includes('kube-controller-manager'),
  )
}

export const DELIVERY_RULES: readonly Rule[] = [
  {
    id: 'canary-steps',
    severity: 'warning',
    what: 'The weights of a canary rise, and are percents.',
    why: 'A step below the one before it takes requests away from a version that has just passed; one above 100 is accepted by the API and stops the rollout.',
    readMore: 'https://argo-rollouts.readthedocs.io/en/stable/features/canary/',
    *check({ objects }) {
      for (const object of objects.filter((one) => isArgo(one, 'Rollout'))) {
        let before = 0
        for (const [index, step] of listAt(object, 'spec', 'strategy', 'canary', 'steps').entries()) {
          const weight = numberAt(step, 'setWeight')
          if (weight === undefined) continue
          const path = ['spec', 'strategy', 'canary', 'steps', index, 'setWeight']
          if (weight < 0 || weight > 100) yield { object, path, message: `the weight ${weight} is no percent` }
          else if (weight < before)
            yield { object, path, message: `the weight falls from ${before} to ${weight}: put the steps in rising order` }
          before = weight
        }
      }
    },
  },
  {
    id: 'analysis-passes-empty',
    severity: 'error',
    what: 'An analysis without an answer has not passed.',
    why: 'Before the first request of a canary the query has no answer at all: an analysis that takes it for a good one promotes a version that nobody has tried.',
    readMore: ANALYSIS_DOC,
    *check(manifests) {
      for (const metric of metricsOf(manifests)) {
        const why = passingOnNothing(metric)
        if (why !== undefined)
          yield {
            object: metric.object,
            path: metric.path,
            message: `metric ${metric.name} passes without an answer: ${why}; let successCondition begin with len(result) > 0 &&`,
          }
      }
    },
  },
  {
    id: 'analysis-aborts-empty',
    severity: 'warning',
    what: 'An analysis looks whether there is an answer before it reads it.',
    why: '`result[0]` of an empty answer is an error, and five of them end the rollout: a quiet night rolls a good version back.',
    readMore: ANALYSIS_DOC,
    *check(manifests) {
      for (const { object, path, name, passes, fails } of metricsOf(manifests))
        for (const [field, condition] of [
          ['successCondition', passes],
          ['failureCondition', fails],
        ] as const)
          if (condition !== undefined && /result\[0\]/.test(condition) && !/len\(\s*result\s*\)/.test(condition))
            yield {
              object,
              path: [...path, field],
              message: `${field} of metric ${name} reads result[0] of an answer that may be empty: begin with len(result) > 0 &&`,
            }
    },
  },
  {
    id: 'analysis-failure',
    severity: 'warning',
    what: 'An analysis says what is bad, and not only what is good.',
    why: 'Where only successCondition is there, everything else is failed: no answer, too few requests, a value that is no number. With a failureCondition these are inconclusive, and the rollout waits.',
    readMore: `${ANALYSIS_DOC}#inconclusive-runs`,
    *check(manifests) {
      for (const { object, path, name, passes, fails } of metricsOf(manifests))
        if (passes !== undefined && fails === undefined)
          yield {
            object,
            path,
            message: `metric ${name} has no failureCondition: what is not known counts as failed, and the rollout is aborted`,
          }
    },
  },
  {
    id: 'sync-replicas',
    severity: 'warning',
    what: 'What Argo CD syncs by itself leaves the number of pods to who scales.',
    why: 'Self-heal sets replicas back to what Git says as soon as the HPA has changed it: the two undo each other for as long as there is load.',
    readMore: 'https://argo-cd.readthedocs.io/en/stable/user-guide/best_practices/#leaving-room-for-imperativeness',
    *check(manifests) {
      const isFixed = scalersOf(manifests).some((scaler) => {
        const target = targetOf(scaler, manifests)
        return target === undefined || at(target, 'spec', 'replicas') !== undefined
      })
      if (!isFixed) return
      for (const object of manifests.objects.filter((one) => isArgo(one, 'Application')))
        if (at(object, 'spec', 'syncPolicy', 'automated') !== undefined && !ignoresReplicas(object))
          yield {
            object,
            path: ['spec', 'syncPolicy', 'automated'],
            message: 'something scales what this syncs: leave replicas out of Git, or add /spec/replicas to ignoreDifferences',
          }
    },
  },
  {
    id: 'sync-respects',
    severity: 'warning',
    what: 'Differences that Argo CD ignores are ignored in syncs, too.',
    why: 'ignoreDifferences alone hides a field from the comparison: a sync for any other reason still writes it. `RespectIgnoreDifferences=true` leaves it alone.',
    readMore: SYNC_DOC,
    *check({ objects }) {
      for (const object of objects.filter((one) => isArgo(one, 'Application'))) {
        const options = listAt(object, 'spec', 'syncPolicy', 'syncOptions')
        if (listAt(object, 'spec', 'ignoreDifferences').length > 0 && !options.includes('RespectIgnoreDifferences=true'))
          yield {
            object,
            path: ['spec', 'ignoreDifferences'],
            message: 'a sync still writes the ignored fields: add the sync option RespectIgnoreDifferences=true',
          }
      }
    },
  },
  {
    id: 'sync-namespace',
    severity: 'warning',
    what: 'An Application that is not in a namespace of its own makes the one that it deploys to.',
    why: 'Where the namespace is not there the first sync fails, and with automated syncs fails again and again.',
    readMore: SYNC_DOC,
    *check({ objects }) {
      for (const object of objects.filter((one) => isArgo(one, 'Application'))) {
        const namespace = textAt(object, 'spec', 'destination', 'namespace')
        const isMade = objects.some((one) => one.kind === 'Namespace' && one.metadata.name === namespace)
        const options = listAt(object, 'spec', 'syncPolicy', 'syncOptions')
        if (namespace !== undefined && namespace !== 'default' && !isMade && !options.includes('CreateNamespace=true'))
          yield {
            object,
            path: ['spec', 'destination', 'namespace'],
            message: `nothing makes the namespace ${namespace}: add the sync option CreateNamespace=true`,
          }
      }
    },
  },
  {
    id: 'flagger-target-scaled',
    severity: 'error',
    what: 'A Canary of Flagger names the scaler of its target.',
    why: 'Flagger sets the target to zero pods between rollouts: a scaler that it does not know brings them back, and both versions run on.',
    readMore: 'https://docs.flagger.app/usage/how-it-works#canary-target',
    *check(manifests) {
      for (const object of manifests.objects.filter((one) => one.kind === 'Canary' && groupOf(one) === 'flagger.app')) {
        const name = textAt(object, 'spec', 'targetRef', 'name')
        const scaler = scalersOf(manifests).find((one) => isBeside(one, object) && textAt(one, 'spec', 'scaleTargetRef', 'name') === name)
        if (scaler !== undefined && Object.keys(mapAt(object, 'spec', 'autoscalerRef')).length === 0)
          yield {
            object,
            path: ['spec', 'targetRef'],
            message: `${scaler.kind} ${scaler.metadata.name} scales the target: name it in autoscalerRef`,
          }
      }
    },
  },
]
