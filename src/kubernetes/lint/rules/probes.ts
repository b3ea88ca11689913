import { runningContainersOf } from '../pod-templates.ts'
import { at, listAt, mapAt, numberAt, textAt } from '../values.ts'
import type { Container } from '../pod-templates.ts'
import type { Manifests, Rule } from '../rule.ts'

const READ_MORE = 'https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/'
const PERIOD_SECONDS = 10
const FAILURES = 3
const PROGRESS_DEADLINE_SECONDS = 600

/** Containers that answer: those with ports, or the only one of a pod. */
function* answering({ pods }: Manifests): Generator<Container> {
  for (const pod of pods.filter(({ isServing }) => isServing)) {
    const containers = runningContainersOf(pod)
    for (const one of containers)
      if (one.role === 'main' && (containers.length === 1 || listAt(one.container, 'ports').length > 0)) yield one
  }
}

/** What a probe asks, as a text that is the same for the same question. */
function questionOf(probe: unknown): string | undefined {
  for (const kind of ['httpGet', 'tcpSocket', 'grpc', 'exec'])
    if (at(probe, kind) !== undefined)
      return JSON.stringify([
        kind,
        at(probe, kind, 'path') ?? at(probe, kind, 'command') ?? at(probe, kind, 'service'),
        at(probe, kind, 'port'),
      ])
  return undefined
}

/** Seconds until a probe that always fails has failed for good. */
function budgetOf(probe: unknown): number {
  const { initialDelaySeconds, periodSeconds, failureThreshold } = mapAt(probe)
  const number = (value: unknown, other: number): number => (typeof value === 'number' ? value : other)
  return number(initialDelaySeconds, 0) + number(periodSeconds, PERIOD_SECONDS) * number(failureThreshold, FAILURES)
}

/** Paths that run a model, or ask what a process depends on. */
const HEAVY_PATH = /\/(predict|predictions|infer|invocations|generate|score|readyz?|dependencies|deep|database|db)(\/|$|\?)/i
const LOCAL = /^(localhost|127\.0\.0\.1|\[?::1\]?)$/

/** Why an answer hangs on more than the process. */
function dependenceOf(probe: unknown): string | undefined {
  const host = textAt(probe, 'httpGet', 'host') ?? textAt(probe, 'tcpSocket', 'host')
  if (host !== undefined && !LOCAL.test(host)) return `asks ${host}, another system`
  const path = textAt(probe, 'httpGet', 'path')
  if (path !== undefined && HEAVY_PATH.test(path)) return `asks ${path}, which does more than say that the process answers`
  const command = listAt(probe, 'exec', 'command').join(' ')
  const asked = /https?:\/\/([^\s/:'"]+)/.exec(command)?.[1]
  if (asked !== undefined && !LOCAL.test(asked)) return `asks ${asked}, another system`
  return /\b(psql|redis-cli|mysqladmin|mongosh?|nc -z)\b/.test(command)
    ? `runs ${command.split(' ')[0]}, which asks another system`
    : undefined
}

export const PROBE_RULES: readonly Rule[] = [
  {
    id: 'readiness-probe',
    severity: 'warning',
    what: 'Containers that answer have a readiness probe.',
    why: 'A pod without one gets requests as soon as its process runs, also while the model is loaded and while it ends: each rollout and each scaling has failed requests.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { pod, container, path, name } of answering(manifests))
        if (at(container, 'readinessProbe') === undefined)
          yield { object: pod.object, path, message: `container ${name} has no readinessProbe: it gets requests before it can answer them` }
    },
  },
  {
    id: 'liveness-probe',
    severity: 'advice',
    what: 'Containers that answer have a liveness probe.',
    why: 'A process that hangs stays there for ever, taken out of service by its readiness probe but never started again.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { pod, container, path, name } of answering(manifests))
        if (at(container, 'livenessProbe') === undefined)
          yield { object: pod.object, path, message: `container ${name} has no livenessProbe: one that hangs is never started again` }
    },
  },
  {
    id: 'liveness-readiness',
    severity: 'warning',
    what: 'Liveness and readiness ask different things.',
    why: 'What is not ready for a moment (a model that is loaded, a full queue, a drain) is ended instead of being left alone, and all pods at once where the reason is load.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { pod, container, path, name } of manifests.pods.flatMap(runningContainersOf)) {
        const [alive, ready] = [questionOf(at(container, 'livenessProbe')), questionOf(at(container, 'readinessProbe'))]
        if (alive !== undefined && alive === ready)
          yield {
            object: pod.object,
            path: [...path, 'livenessProbe'],
            message: `livenessProbe of container ${name} asks the same as its readinessProbe: a pod that is busy is ended; ask what only a hung process fails`,
          }
      }
    },
  },
  {
    id: 'liveness-depends',
    severity: 'warning',
    what: 'Liveness hangs on nothing but the process: no prediction, no readiness, no other system.',
    why: 'When a database is away or the queue is full, restarting helps nobody: every pod is ended at once, loads its model again, and the outage grows.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { pod, container, path, name } of manifests.pods.flatMap(runningContainersOf)) {
        const why = dependenceOf(at(container, 'livenessProbe'))
        if (why !== undefined)
          yield { object: pod.object, path: [...path, 'livenessProbe'], message: `livenessProbe of container ${name} ${why}` }
      }
    },
  },
  {
    id: 'liveness-timeout',
    severity: 'advice',
    what: 'Liveness waits longer than a second.',
    why: 'The default timeout is one second: a process whose cores are all in a run of the model misses it, and is ended for being busy.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { pod, container, path, name } of manifests.pods.flatMap(runningContainersOf)) {
        const probe = at(container, 'livenessProbe')
        if (probe !== undefined && probe !== null && (numberAt(probe, 'timeoutSeconds') ?? 1) < 2)
          yield {
            object: pod.object,
            path: [...path, 'livenessProbe', ...(at(probe, 'timeoutSeconds') === undefined ? [] : ['timeoutSeconds'])],
            message: `livenessProbe of container ${name} waits ${numberAt(probe, 'timeoutSeconds') ?? 1} s for an answer: give it timeoutSeconds of 2 or more`,
          }
      }
    },
  },
  {
    id: 'startup-probe',
    severity: 'warning',
    what: 'Containers with a liveness probe have a startup probe.',
    why: 'Liveness counts from the start: a model that once takes longer to load than the delay that somebody guessed is ended in the middle, and starts from the beginning for ever.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { pod, container, path, name } of answering(manifests)) {
        const alive = at(container, 'livenessProbe')
        if (alive !== undefined && at(container, 'startupProbe') === undefined)
          yield {
            object: pod.object,
            path: [...path, 'livenessProbe'],
            message: `container ${name} has no startupProbe: it is ended where it has not loaded its model ${budgetOf(alive)} s after its start`,
          }
      }
    },
  },
  {
    id: 'startup-budget',
    severity: 'warning',
    what: 'The startup probe leaves as long as the other probes wait, and less than the rollout does.',
    why: 'A shorter one ends pods that would have come up; a longer one lets the rollout be called failed while its pods still load.',
    readMore: READ_MORE,
    *check({ pods }) {
      for (const { pod, container, path, name } of pods.flatMap(runningContainersOf)) {
        const startup = at(container, 'startupProbe')
        if (startup === undefined) continue
        const budget = budgetOf(startup)
        const delay = Math.max(
          ...['livenessProbe', 'readinessProbe'].map((probe) => numberAt(container, probe, 'initialDelaySeconds') ?? 0),
        )
        const deadline = numberAt(pod.object, 'spec', 'progressDeadlineSeconds') ?? PROGRESS_DEADLINE_SECONDS
        const place = { object: pod.object, path: [...path, 'startupProbe'] }
        if (budget < delay)
          yield {
            ...place,
            message: `startupProbe of container ${name} leaves ${budget} s (failureThreshold times periodSeconds), and another probe waits ${delay} s: raise failureThreshold, and drop initialDelaySeconds`,
          }
        else if (['Deployment', 'Rollout'].includes(pod.object.kind) && budget > deadline)
          yield {
            ...place,
            message: `startupProbe of container ${name} leaves ${budget} s, and the rollout has failed after ${deadline} s: raise progressDeadlineSeconds`,
          }
      }
    },
  },
]
