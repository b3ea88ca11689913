import { at, isBeside, textAt } from '../values.ts'
import type { Rule } from '../rule.ts'

export const IDENTITY_RULES: readonly Rule[] = [
  {
    id: 'service-account-token',
    severity: 'warning',
    what: 'Pods that do not speak to the API of Kubernetes have no token for it.',
    why: 'The token of the default service account is mounted into every pod: whoever gets in can ask the API with it, and roles given to `default` are given to all pods.',
    readMore: 'https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#opt-out-of-api-credential-automounting',
    *check({ pods, objects }) {
      for (const { object, path, spec } of pods) {
        const account = textAt(spec, 'serviceAccountName') ?? textAt(spec, 'serviceAccount') ?? 'default'
        if (at(spec, 'automountServiceAccountToken') !== undefined || account !== 'default') continue
        const isOff = objects.some(
          (one) =>
            one.kind === 'ServiceAccount' &&
            one.metadata.name === 'default' &&
            isBeside(one, object) &&
            one['automountServiceAccountToken'] === false,
        )
        if (!isOff)
          yield {
            object,
            path: [...path, 'spec'],
            message: 'pods get the token of the default service account: set automountServiceAccountToken false',
          }
      }
    },
  },
  {
    id: 'default-namespace',
    severity: 'advice',
    what: 'Objects lie in a namespace of their own.',
    why: 'Quotas, network policies, pod security and roles hold for namespaces: in `default` an endpoint shares them with whatever was ever tried out there.',
    readMore: 'https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/',
    *check({ pods }) {
      for (const { object } of pods)
        if (object.metadata.namespace === 'default')
          yield { object, path: ['metadata', 'namespace'], message: 'it lies in the namespace default: give it one of its own' }
    },
  },
]
