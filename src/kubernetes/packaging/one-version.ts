import { SlipwayError } from '../../core/errors.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'

/** The one Deployment of an endpoint whose pods are exchanged for those of another version. @throws SLW_CONFIG_INVALID for others */
export function oneVersion({ endpoint, workloads, model }: ResolvedKubernetes, tool: string): Workload {
  const [workload] = workloads
  if (model.from === 'control-plane')
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `endpoint "${endpoint}": its servers follow a control plane, which rolls out by itself (\`slipway rollout\`); ${tool} exchanges pods, which takes \`spec.kubernetes.model.from: image\` or \`volume\``,
    )
  if (workloads.length > 1)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `endpoint "${endpoint}" has ${workloads.length} variants, and ${tool} walks from one version to the next: declare one variant`,
    )
  return workload!
}
