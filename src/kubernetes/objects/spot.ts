import type { KubernetesOptions } from '../../contract/kubernetes.ts'

/** Label of nodes that may be taken away, and the taint that keeps pods off them where the provider sets one. */
const PROVIDERS = {
  eks: { label: 'eks.amazonaws.com/capacityType', value: 'SPOT', tainted: false },
  karpenter: { label: 'karpenter.sh/capacity-type', value: 'spot', tainted: false },
  gke: { label: 'cloud.google.com/gke-spot', value: 'true', tainted: true },
  aks: { label: 'kubernetes.azure.com/scalesetpriority', value: 'spot', tainted: true },
} as const

interface Place {
  readonly tolerations: readonly object[]
  readonly affinity: object | undefined
}

/** Preferred, never required: where there is no such node, pods run all the same. What most requests go to stays off them. */
export function spotPlace(provider: KubernetesOptions['spot'], stable: boolean): Place {
  if (provider === undefined) return { tolerations: [], affinity: undefined }
  const { label, value, tainted } = PROVIDERS[provider]
  const terms = (operator: 'In' | 'NotIn'): object => ({ matchExpressions: [{ key: label, operator, values: [value] }] })
  if (stable)
    return {
      tolerations: [],
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [terms('NotIn')] } } },
    }
  return {
    tolerations: tainted ? [{ key: label, operator: 'Equal', value, effect: 'NoSchedule' }] : [],
    affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: terms('In') }] } },
  }
}
