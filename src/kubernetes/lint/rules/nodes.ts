import { parse } from 'yaml'
import { containersOf, devicesOf, resourceOf } from '../pod-templates.ts'
import { at, listAt, mapAt, numberAt, quantityAt, textAt, wordOf } from '../values.ts'
import type { KubernetesObject } from '../../object.ts'
import type { Manifests } from '../manifests.ts'
import type { Rule } from '../rule.ts'
import type { Path } from '../values.ts'

const SHARING_DOC = 'https://github.com/NVIDIA/k8s-device-plugin#shared-access-to-gpus'

/** Labels by which clouds mark nodes that they may take away, and values where the label alone says nothing. */
const SPOT_LABELS: Readonly<Record<string, string>> = {
  'eks.amazonaws.com/capacityType': 'SPOT',
  'karpenter.sh/capacity-type': 'spot',
  'cloud.google.com/gke-spot': 'true',
  'cloud.google.com/gke-preemptible': 'true',
  'kubernetes.azure.com/scalesetpriority': 'spot',
  'node.kubernetes.io/lifecycle': 'spot',
  lifecycle: 'spot',
}

interface Sharing {
  readonly object: KubernetesObject
  readonly path: Path
  readonly config: unknown
}

/** Configurations of NVIDIA's device plugin that share devices. */
function* sharingOf({ objects }: Manifests): Generator<Sharing> {
  for (const object of objects.filter(({ kind }) => kind === 'ConfigMap'))
    for (const [key, text] of Object.entries(mapAt(object, 'data'))) {
      if (typeof text !== 'string' || text.length > 65_536 || !/timeSlicing\s*:|mps\s*:/.test(text)) continue
      let config: unknown
      try {
        config = parse(text, { maxAliasCount: 10 })
      } catch {
        continue
      }
      yield { object, path: ['data', key], config }
    }
}

/** Keys of the labels of spot that are required of a node. */
function requiredSpot(spec: unknown): Path | undefined {
  for (const [key, value] of Object.entries(mapAt(spec, 'nodeSelector'))) if (SPOT_LABELS[key] === value) return ['nodeSelector', key]
  const required = ['affinity', 'nodeAffinity', 'requiredDuringSchedulingIgnoredDuringExecution']
  for (const term of listAt(spec, ...required, 'nodeSelectorTerms'))
    for (const expression of listAt(term, 'matchExpressions')) {
      const label = SPOT_LABELS[textAt(expression, 'key') ?? '']
      const values = listAt(expression, 'values')
      if (label !== undefined && textAt(expression, 'operator') === 'In' && values.length === 1 && values[0] === label) return required
    }
  return undefined
}

export const NODE_RULES: readonly Rule[] = [
  {
    id: 'gpu-toleration',
    severity: 'warning',
    what: 'Pods with devices tolerate the taint of nodes that have some.',
    why: 'Nodes with devices are kept free by a taint of the name of the resource in most clusters: a pod without the toleration stays pending.',
    readMore: 'https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/',
    *check({ pods }) {
      for (const pod of pods) {
        const device = containersOf(pod).flatMap(devicesOf)[0]
        if (device === undefined) continue
        const vendor = device.split('/')[0]!
        const isTolerated = listAt(pod.spec, 'tolerations').some((toleration) => {
          const key = textAt(toleration, 'key')
          return key === undefined ? textAt(toleration, 'operator') === 'Exists' : key.startsWith(`${vendor}/`)
        })
        if (!isTolerated)
          yield {
            object: pod.object,
            path: [...pod.path, 'spec', ...(at(pod.spec, 'tolerations') === undefined ? [] : ['tolerations'])],
            message: `pods with ${device} do not tolerate the taint ${vendor}/gpu of such nodes: add {key: ${vendor}/gpu, operator: Exists, effect: NoSchedule}`,
          }
      }
    },
  },
  {
    id: 'gpu-sharing',
    severity: 'error',
    what: 'A device that is shared is shared between two or more, under a configuration that its plugin reads.',
    why: 'The plugin does not start with a configuration that has no version or no resources: all devices of the node are gone.',
    readMore: SHARING_DOC,
    *check(manifests) {
      for (const { object, path, config } of sharingOf(manifests)) {
        if (textAt(config, 'version') !== 'v1') yield { object, path, message: 'the configuration has no `version: v1`' }
        for (const kind of ['timeSlicing', 'mps']) {
          if (at(config, 'sharing', kind) === undefined) {
            if (at(config, kind) !== undefined)
              yield { object, path, message: `${kind} stands outside of \`sharing\`, where nobody reads it` }
            continue
          }
          const resources = listAt(config, 'sharing', kind, 'resources')
          if (resources.length === 0) yield { object, path, message: `sharing.${kind} has no resources` }
          for (const resource of resources)
            if ((numberAt(resource, 'replicas') ?? 0) < 2)
              yield {
                object,
                path,
                message: `${textAt(resource, 'name') ?? 'a resource'} is shared between ${wordOf(at(resource, 'replicas') ?? 'nobody')}: replicas is 2 or more`,
              }
        }
      }
    },
  },
  {
    id: 'gpu-shared-count',
    severity: 'warning',
    what: 'A pod asks for one share of a shared device.',
    why: 'Two shares are no twice as fast: they are the same device, or another one, and the memory of a device is kept apart by nobody.',
    readMore: SHARING_DOC,
    *check(manifests) {
      const shared = new Set(
        [...sharingOf(manifests)].flatMap(({ config }) =>
          listAt(config, 'sharing', 'timeSlicing', 'resources').map((one) => textAt(one, 'name')),
        ),
      )
      for (const of of manifests.pods.flatMap(containersOf))
        for (const name of devicesOf(of)) {
          const count = quantityAt(resourceOf(of, 'limits', name)) ?? 0
          if (count > 1 && (shared.has(name) || name.endsWith('.shared')))
            yield {
              object: of.pod.object,
              path: [...of.path, 'resources', 'limits', name],
              message: `container ${of.name} takes ${count} shares of devices that are shared by turns: ask for 1`,
            }
        }
    },
  },
  {
    id: 'spot-required',
    severity: 'warning',
    what: 'Nodes that may be taken away are preferred, and not required.',
    why: 'When the provider wants them back it wants many at once: pods that may run nowhere else are all gone until there are such nodes again.',
    readMore: 'https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity',
    *check({ pods }) {
      for (const { object, path, spec, isServing } of pods.filter((one) => one.isServing)) {
        const place = isServing ? requiredSpot(spec) : undefined
        if (place !== undefined)
          yield {
            object,
            path: [...path, 'spec', ...place],
            message:
              'pods may run on spot nodes alone: use preferredDuringSchedulingIgnoredDuringExecution and a toleration, and keep some pods off them',
          }
      }
    },
  },
]
