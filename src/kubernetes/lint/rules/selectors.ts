import { SERVING_KINDS } from '../pod-templates.ts'
import { at, isBeside, mapAt, wordOf } from '../values.ts'
import { serviceSelector } from '../manifests.ts'
import { keyOf } from '../../object.ts'
import type { KubernetesObject } from '../../object.ts'
import type { PodTemplate } from '../pod-templates.ts'
import type { Manifests } from '../manifests.ts'
import type { Rule } from '../rule.ts'

const LABELS_DOC = 'https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/'
/** Labels that change with a release. */
const CHANGING = new Set([
  'app.kubernetes.io/version',
  'version',
  'helm.sh/chart',
  'chart',
  'release-version',
  'commit',
  'git-sha',
  'model-version',
])

const owners = ({ pods }: Manifests): PodTemplate[] => pods.filter(({ object }) => SERVING_KINDS.has(object.kind))
const selectorPath = ({ kind }: KubernetesObject): string[] =>
  kind === 'ReplicationController' ? ['spec', 'selector'] : ['spec', 'selector', 'matchLabels']

export const SELECTOR_RULES: readonly Rule[] = [
  {
    id: 'selector-template',
    severity: 'error',
    what: 'The pods that an object makes are those that it selects.',
    why: 'The API refuses a selector that the labels of the template do not match.',
    readMore: 'https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector',
    *check(manifests) {
      for (const { object, labels } of owners(manifests)) {
        const wanted = mapAt(object, ...selectorPath(object))
        const missing = Object.entries(wanted).filter(([key, value]) => labels[key] !== value)
        if (missing.length > 0)
          yield {
            object,
            path: [...selectorPath(object), missing[0]![0]],
            message: `the selector wants ${missing.map(([key, value]) => `${key}: ${wordOf(value)}`).join(', ')}, which the labels of the pods do not have`,
          }
      }
    },
  },
  {
    id: 'selector-version',
    severity: 'warning',
    what: 'Selectors hold what never changes.',
    why: 'The selector of a Deployment cannot be changed: with a version in it the next release is refused, or needs the Deployment to be deleted, and all of its pods with it.',
    readMore: LABELS_DOC,
    *check(manifests) {
      for (const { object } of owners(manifests))
        for (const key of Object.keys(mapAt(object, ...selectorPath(object))))
          if (CHANGING.has(key.toLowerCase()))
            yield {
              object,
              path: [...selectorPath(object), key],
              message: `the selector has ${key}, which changes with each release: leave it to the labels`,
            }
    },
  },
  {
    id: 'selector-overlap',
    severity: 'warning',
    what: 'Two objects that make pods select no pod of each other.',
    why: 'Each counts the pods of the other as its own: Services mix them, disruption budgets and `kubectl` show the wrong ones, and StatefulSets and ReplicaSets delete them.',
    readMore: 'https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector',
    *check(manifests) {
      for (const { object } of owners(manifests)) {
        const selector = at(object, 'spec', 'selector')
        if (Object.keys(mapAt(object, ...selectorPath(object))).length === 0 || object.kind === 'ReplicationController') continue
        const beside = manifests.podsOf(object, selector)
        const other = beside.find((one) => SERVING_KINDS.has(one.object.kind) && keyOf(one.object) !== keyOf(object))
        if (other !== undefined)
          yield {
            object,
            path: ['spec', 'selector'],
            message: `it also selects the pods of ${other.object.kind} ${other.object.metadata.name}: add a label that tells them apart to both selectors`,
          }
      }
    },
  },
  {
    id: 'selects-nothing',
    severity: 'warning',
    what: 'Services, disruption budgets, network policies and monitors select pods that there are.',
    why: 'A selector with a label that no pod has is no error anywhere: a Service has no endpoint and answers nobody, a policy protects nothing.',
    readMore: LABELS_DOC,
    *check(manifests) {
      for (const object of manifests.objects) {
        const path = SELECTING[object.kind]
        const selector = path === undefined ? undefined : at(object, ...path)
        if (path === undefined || selector === undefined || selector === null) continue
        const isPlain = object.kind === 'Service'
        const asked = isPlain ? serviceSelector(object) : selector
        if (
          asked !== undefined &&
          manifests.podsOf(object, asked).length === 0 &&
          manifests.pods.some((pod) => isBeside(pod.object, object))
        )
          yield {
            object,
            path,
            message: `it selects none of the pods among the manifests (${JSON.stringify(isPlain ? selector : (at(selector, 'matchLabels') ?? selector))})`,
          }
      }
    },
  },
]

const SELECTING: Readonly<Record<string, readonly string[]>> = {
  Service: ['spec', 'selector'],
  PodDisruptionBudget: ['spec', 'selector'],
  NetworkPolicy: ['spec', 'podSelector'],
  PodMonitor: ['spec', 'selector'],
}
