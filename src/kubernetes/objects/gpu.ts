import type { KubernetesOptions } from '../../contract/kubernetes.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

/** The devices of one pod, as resources: whole numbers, the same asked for and limited. */
export function deviceOf(gpu: KubernetesOptions['gpu']): Readonly<Record<string, string>> {
  if (gpu === undefined) return {}
  const { count = 1, mig, timeSlicing } = gpu
  const resource = mig === undefined ? (timeSlicing === undefined ? 'gpu' : 'gpu.shared') : `mig-${mig}`
  return { [`nvidia.com/${resource}`]: String(count) }
}

/**
 * Configuration of NVIDIA's device plugin, which shares each device by turns under the name nvidia.com/gpu.shared. The plugin reads it
 * where it is named in its own chart (`config.name`), or where nodes have the label nvidia.com/device-plugin.config.
 */
export function deviceSharing({ name, namespace, labels, options: { gpu } }: ResolvedKubernetes): KubernetesObject[] {
  if (gpu?.timeSlicing === undefined) return []
  const config = `version: v1
sharing:
  timeSlicing:
    renameByDefault: true
    failRequestsGreaterThanOne: true
    resources:
      - name: nvidia.com/gpu
        replicas: ${gpu.timeSlicing}
`
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `${name}-time-slicing`, namespace, labels },
      data: { [`${name}-shared`]: config },
    },
  ]
}
