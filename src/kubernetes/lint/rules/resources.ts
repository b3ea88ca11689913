import { devicesOf, resourceOf, runningContainersOf } from '../pod-templates.ts'
import { at, quantityAt, wordOf } from '../values.ts'
import type { Container } from '../pod-templates.ts'
import type { Manifests } from '../manifests.ts'
import type { Break, Rule } from '../rule.ts'

const READ_MORE = 'https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/'

const running = ({ pods }: Manifests): Container[] => pods.flatMap(runningContainersOf)

/** At the resources where there are some, else at the container. */
function breakOf({ pod, container, path }: Container, message: string, ...field: string[]): Break {
  const hasResources = at(container, 'resources') !== undefined
  return { object: pod.object, path: hasResources ? [...path, 'resources', ...field] : path, message }
}

export const RESOURCE_RULES: readonly Rule[] = [
  {
    id: 'memory-limit',
    severity: 'warning',
    what: 'Containers ask for the memory that they are limited to.',
    why: 'Without a limit one leak takes the memory of all pods of the node; with a limit above the request the node promises more than it has, and the kernel ends whichever process it likes when a model is loaded.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const of of running(manifests)) {
        const [asked, limit] = (['requests', 'limits'] as const).map((side) => resourceOf(of, side, 'memory'))
        if (limit === undefined)
          yield breakOf(of, `container ${of.name} has no limit of memory: set limits.memory, and requests.memory to the same`)
        // What is only limited asks for its limit.
        else if (asked !== undefined && quantityAt(asked) !== quantityAt(limit))
          yield breakOf(
            of,
            `container ${of.name} asks for ${wordOf(asked)} of memory and may have ${wordOf(limit)}: make both the same`,
            'requests',
            'memory',
          )
      }
    },
  },
  {
    id: 'cpu-request',
    severity: 'warning',
    what: 'Containers ask for cores.',
    why: 'What asks for nothing gets what others leave, which is nothing when the node is busy; and an HPA on CPU divides by the request.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const of of running(manifests))
        if (resourceOf(of, 'requests', 'cpu') === undefined && resourceOf(of, 'limits', 'cpu') === undefined)
          yield breakOf(of, `container ${of.name} asks for no cores: set requests.cpu`)
    },
  },
  {
    id: 'cpu-limit',
    severity: 'advice',
    what: 'Containers that answer requests have no limit of cores, or one that they also ask for.',
    why: 'A limit is enforced in slices of 100 ms: a run that uses several threads has used up its share after some milliseconds and stands still for the rest, which shows as p99 and not as use of CPU.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const of of running(manifests).filter(({ pod }) => pod.isServing)) {
        const [asked, limit] = (['requests', 'limits'] as const).map((side) => quantityAt(resourceOf(of, side, 'cpu')))
        if (limit !== undefined && asked !== undefined && limit > asked)
          yield breakOf(
            of,
            `container ${of.name} is throttled at ${limit} cores: leave limits.cpu out, and ask for what it needs`,
            'limits',
            'cpu',
          )
      }
    },
  },
  {
    id: 'gpu-request',
    severity: 'error',
    what: 'Devices are limited to a whole number, and what is asked for is the same.',
    why: 'Devices are handed out whole and are never overcommitted: the API refuses a fraction, a request without a limit, and a request that differs.',
    readMore: 'https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/',
    *check(manifests) {
      for (const of of running(manifests))
        for (const name of devicesOf(of)) {
          const [asked, limit] = (['requests', 'limits'] as const).map((side) => resourceOf(of, side, name))
          const side = limit === undefined || (asked !== undefined && quantityAt(asked) !== quantityAt(limit)) ? 'requests' : 'limits'
          const wrong =
            limit === undefined
              ? `asks for ${wordOf(asked)} ${name} without a limit: set limits.${name}`
              : side === 'requests'
                ? `asks for ${wordOf(asked)} ${name} and is limited to ${wordOf(limit)}: make both the same`
                : Number.isInteger(quantityAt(limit))
                  ? undefined
                  : `is limited to ${wordOf(limit)} ${name}: devices are whole; to share one use time slicing, MPS or MIG`
          if (wrong !== undefined) yield breakOf(of, `container ${of.name} ${wrong}`, side, name)
        }
    },
  },
]
