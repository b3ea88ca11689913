import { kubernetesIssues } from '../kubernetes/issues.ts'
import { localTarget } from './local-target.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { TargetPort } from './target-port.ts'

/** Pods, which `slipway apply --target kubernetes` or a pipeline of others applies: the control plane holds no key to a cluster. */
export const kubernetesTarget: TargetPort = {
  target: 'kubernetes',

  issues(spec, resolved) {
    // An overlay that is kept for later needs no image yet.
    return spec.kubernetes === undefined && spec.target !== 'kubernetes' ? [] : kubernetesIssues(spec, resolved)
  },

  plan(before, after) {
    const steps = localTarget.plan(before, after)
    return modelOf(after) === 'control-plane' ? steps : [...steps, 'pods with the model in their image change when the objects are applied']
  },

  /** As those pods say that follow the control plane; of others nothing is heard here. */
  status(endpoint, reports) {
    return localTarget.status(endpoint, reports)
  },
}

function modelOf({ spec }: DeclaredEndpoint): string {
  return spec.kubernetes?.model?.from ?? 'image'
}
