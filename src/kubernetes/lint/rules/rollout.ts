import { devicesOf, runningContainersOf, sleepSecondsOf } from '../pod-templates.ts'
import { scalerOf } from '../scalers.ts'
import { at, listAt, mapAt, numberAt, podsAt, textAt, wordOf } from '../values.ts'
import type { KubernetesObject } from '../../object.ts'
import type { PodTemplate } from '../pod-templates.ts'
import type { Manifests } from '../manifests.ts'
import type { Rule } from '../rule.ts'

const GRACE_SECONDS = 30
/** What finishing requests and closing takes, at least. */
const ENDING_SECONDS = 5
const DEFAULT_SHARE = '25%'
const PODS_DOC = 'https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination'
const DEPLOYMENT_DOC = 'https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment'
const DISRUPTION_DOC = 'https://kubernetes.io/docs/tasks/run-application/configure-pdb/'

/** Pods that there are at least, by what is declared. */
function leastPods(object: KubernetesObject, manifests: Manifests): number {
  const scaler = scalerOf(object, manifests)
  const field = scaler?.kind === 'ScaledObject' ? 'minReplicaCount' : 'minReplicas'
  if (scaler !== undefined) return numberAt(scaler, 'spec', field) ?? (scaler.kind === 'ScaledObject' ? 0 : 1)
  return numberAt(object, 'spec', 'replicas') ?? 1
}

const ofDeployments = ({ pods }: Manifests): PodTemplate[] => pods.filter(({ object }) => object.kind === 'Deployment')

/** Pods of a rolling update that are added first, and that may be missing. */
function roomOf(
  object: KubernetesObject,
  manifests: Manifests,
): { readonly surge: number; readonly missing: number; readonly pods: number } {
  const pods = Math.max(1, leastPods(object, manifests))
  const update = { maxSurge: DEFAULT_SHARE, maxUnavailable: DEFAULT_SHARE, ...mapAt(object, 'spec', 'strategy', 'rollingUpdate') }
  return { surge: podsAt(update, pods, 'up', 'maxSurge') ?? 1, missing: podsAt(update, pods, 'down', 'maxUnavailable') ?? 0, pods }
}

const isRecreate = (object: KubernetesObject): boolean => textAt(object, 'spec', 'strategy', 'type') === 'Recreate'
const hasDevices = (pod: PodTemplate): boolean => runningContainersOf(pod).some((one) => devicesOf(one).length > 0)

export const ROLLOUT_RULES: readonly Rule[] = [
  {
    id: 'pre-stop-grace',
    severity: 'error',
    what: 'A pod may take longer to end than its preStop hook waits.',
    why: 'The grace period counts from before the hook: where the hook takes all of it the process is killed, and every request that it has is lost. The API refuses a `sleep` that is longer.',
    readMore: PODS_DOC,
    *check({ pods }) {
      for (const { pod, container, path, name } of pods.flatMap(runningContainersOf)) {
        const seconds = sleepSecondsOf(at(container, 'lifecycle', 'preStop'))
        const grace = numberAt(pod.spec, 'terminationGracePeriodSeconds') ?? GRACE_SECONDS
        if (seconds !== undefined && seconds >= grace)
          yield {
            object: pod.object,
            path: [...path, 'lifecycle', 'preStop'],
            message: `preStop of container ${name} waits ${seconds} s of the ${grace} s that the pod may take to end: raise terminationGracePeriodSeconds`,
          }
      }
    },
  },
  {
    id: 'grace-period',
    severity: 'warning',
    what: 'After the preStop hook some seconds are left for the requests that a pod still has.',
    why: 'What has not ended with the grace period is killed in the middle of its answers.',
    readMore: PODS_DOC,
    *check({ pods }) {
      for (const pod of pods.filter(({ isServing }) => isServing)) {
        const grace = numberAt(pod.spec, 'terminationGracePeriodSeconds') ?? GRACE_SECONDS
        const sleeps = runningContainersOf(pod).map(({ container }) => sleepSecondsOf(at(container, 'lifecycle', 'preStop')) ?? 0)
        const longest = Math.max(0, ...sleeps)
        if (longest < grace && grace - longest < ENDING_SECONDS)
          yield {
            object: pod.object,
            path: [...pod.path, 'spec', 'terminationGracePeriodSeconds'],
            message: `a pod has ${grace - longest} s to finish its requests: leave ${ENDING_SECONDS} s or more beside what preStop waits`,
          }
      }
    },
  },
  {
    id: 'pre-stop',
    severity: 'advice',
    what: 'Containers behind a Service wait a few seconds before they are told to end.',
    why: 'Taking a pod out of a Service reaches proxies and gateways later than the signal reaches the process: requests that come in between are refused.',
    readMore: PODS_DOC,
    *check(manifests) {
      for (const pod of manifests.pods.filter((one) => one.isServing && manifests.isReached(one)))
        for (const { container, path, name, role } of runningContainersOf(pod))
          if (role === 'main' && listAt(container, 'ports').length > 0 && at(container, 'lifecycle', 'preStop') === undefined)
            yield {
              object: pod.object,
              path,
              message: `container ${name} is ended while requests still come: add lifecycle.preStop.sleep of 5 s or so`,
            }
    },
  },
  {
    id: 'rollout-stuck',
    severity: 'error',
    what: 'A rolling update may add a pod, or do without one.',
    why: 'With maxSurge 0 and maxUnavailable 0 there is no next step; the API refuses it.',
    readMore: DEPLOYMENT_DOC,
    *check(manifests) {
      for (const { object } of manifests.pods) {
        const path = object.kind === 'Rollout' ? ['spec', 'strategy', 'canary'] : ['spec', 'strategy', 'rollingUpdate']
        const isZero = (field: string): boolean => [0, '0', '0%'].includes(at(object, ...path, field) as string)
        if (isZero('maxSurge') && isZero('maxUnavailable'))
          yield {
            object,
            path: [...path, 'maxUnavailable'],
            message: 'maxSurge and maxUnavailable are both 0: no pod could ever be replaced',
          }
      }
    },
  },
  {
    id: 'rollout-outage',
    severity: 'warning',
    what: 'An update leaves pods that answer.',
    why: 'Strategy Recreate, or a maxUnavailable of all pods, ends every pod before the first new one is ready: nobody answers while a model is loaded.',
    readMore: DEPLOYMENT_DOC,
    *check(manifests) {
      for (const pod of ofDeployments(manifests)) {
        const { object } = pod
        if (isRecreate(object))
          yield {
            object,
            path: ['spec', 'strategy', 'type'],
            message: 'strategy Recreate: nobody answers from the end of the old pods until new ones are ready',
          }
        // Without a device to spare there is no other way for a single pod.
        else if (!hasDevices(pod)) {
          const { missing, pods } = roomOf(object, manifests)
          if (missing >= pods && at(object, 'spec', 'strategy', 'rollingUpdate', 'maxUnavailable') !== undefined)
            yield {
              object,
              path: ['spec', 'strategy', 'rollingUpdate', 'maxUnavailable'],
              message: `maxUnavailable lets all of ${pods} pods be gone at once: set it to 0, and maxSurge to 1`,
            }
        }
      }
    },
  },
  {
    id: 'gpu-surge',
    severity: 'warning',
    what: 'An update of pods with devices frees one before it needs the next.',
    why: 'A pod more needs a device more: where all are taken it stays pending, and the rollout hangs until somebody looks.',
    readMore: 'https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/',
    *check(manifests) {
      for (const pod of ofDeployments(manifests).filter(hasDevices)) {
        const { object } = pod
        const { surge, missing, pods } = roomOf(object, manifests)
        if (!isRecreate(object) && surge > 0 && missing === 0)
          yield {
            object,
            path: ['spec', 'strategy', 'rollingUpdate'],
            message: `an update of ${pods} ${pods === 1 ? 'pod' : 'pods'} starts by adding one, which needs a device that nobody uses: set maxSurge 0 and maxUnavailable 1`,
          }
      }
    },
  },
  {
    id: 'drain-blocked',
    severity: 'error',
    what: 'A disruption budget lets one pod go.',
    why: 'Where all pods must stay, draining a node waits for ever: upgrades of nodes and the autoscaler of nodes stand still.',
    readMore: DISRUPTION_DOC,
    *check(manifests) {
      for (const object of manifests.ofKind('PodDisruptionBudget')) {
        const { maxUnavailable, minAvailable } = mapAt(object, 'spec')
        if ([0, '0', '0%'].includes(maxUnavailable as string)) {
          yield { object, path: ['spec', 'maxUnavailable'], message: 'maxUnavailable 0: no node with these pods can be drained' }
          continue
        }
        if (minAvailable === undefined) continue
        const least = manifests
          .podsOf(object, at(object, 'spec', 'selector'))
          .reduce((sum, { object: owner }) => sum + leastPods(owner, manifests), 0)
        const needed = minAvailable === '100%' ? Math.max(1, least) : podsAt({ minAvailable }, least, 'up', 'minAvailable')
        if (needed !== undefined && needed > 0 && (minAvailable === '100%' || (least > 0 && needed >= least)))
          yield {
            object,
            path: ['spec', 'minAvailable'],
            message: `minAvailable ${wordOf(minAvailable)} of ${least === 0 ? 'all' : least} ${least === 1 ? 'pod' : 'pods'}: no node with these pods can be drained; set maxUnavailable 1, or no budget for a single pod`,
          }
      }
    },
  },
  {
    id: 'single-pod',
    severity: 'advice',
    what: 'What answers has two pods or more.',
    why: 'A single pod is gone while its node is drained, replaced or lost, and nobody answers until another has loaded its model.',
    readMore: 'https://kubernetes.io/docs/concepts/workloads/pods/disruptions/',
    *check(manifests) {
      for (const { object } of ofDeployments(manifests))
        if (leastPods(object, manifests) === 1)
          yield {
            object,
            path: at(object, 'spec', 'replicas') === undefined ? ['spec'] : ['spec', 'replicas'],
            message: 'there may be one pod alone: with two, and a disruption budget, somebody answers while a node is drained',
          }
    },
  },
  {
    id: 'pods-together',
    severity: 'advice',
    what: 'Several pods are spread over nodes.',
    why: 'Otherwise the scheduler may put all of them onto one node, and they are lost with it.',
    readMore: 'https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/',
    *check(manifests) {
      for (const { object, path, spec } of ofDeployments(manifests))
        if (
          leastPods(object, manifests) > 1 &&
          listAt(spec, 'topologySpreadConstraints').length === 0 &&
          at(spec, 'affinity', 'podAntiAffinity') === undefined
        )
          yield {
            object,
            path: [...path, 'spec'],
            message: 'nothing spreads the pods over nodes: add topologySpreadConstraints by kubernetes.io/hostname',
          }
    },
  },
]
