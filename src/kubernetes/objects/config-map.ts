import { stringify } from 'yaml'
import { murmur3 } from '../../contract/murmur3.ts'
import { PORTS } from '../labels.ts'
import { coresOf } from '../quantity.ts'
import { labelsOf } from '../resolve.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'

export const CONFIG_FOLDER = '/etc/slipway'
export const CONFIG_FILE = 'slipway.server.yaml'

export function configMapName({ name }: ResolvedKubernetes, workload: Workload): string {
  return workload.variant === undefined ? `${name}-config` : `${workload.name}-config`
}

/** The server file of the pods. */
export function configMap(resolved: ResolvedKubernetes, workload: Workload): KubernetesObject {
  const { namespace } = resolved
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: configMapName(resolved, workload), namespace, labels: labelsOf(resolved, workload) },
    data: { [CONFIG_FILE]: serverFile(resolved, workload) },
  }
}

/** Changes with the configuration. */
export function configDigest(map: KubernetesObject): string {
  const text = JSON.stringify(map['data'])
  return [0, 1].map((seed) => murmur3(text, seed).toString(16).padStart(8, '0')).join('')
}

function serverFile({ model, drainSeconds, requestSeconds, resources, spec }: ResolvedKubernetes, { variant }: Workload): string {
  const serving = variant?.serving ?? (spec.variants.length === 1 ? spec.variants[0]!.serving : {})
  const instances = instancesFor(resources.cpuLimit ?? resources.cpu, serving.threads ?? 1)
  return stringify({
    // Pods are reached by their address; who may come is the business of network policies, and of keys where there are some.
    host: '0.0.0.0',
    port: PORTS.http,
    grpcPort: PORTS.grpc,
    insecure: true,
    ...(model.from === 'control-plane' && {
      controlPlane: {
        url: model.address,
        ...(model.environment !== undefined && { environment: model.environment }),
        store: '/var/lib/slipway',
      },
    }),
    // A node has more cores than a pod asks for, and threads for all of them would get in each other's way.
    serving: { instances, ...serving },
    shutdown: { pauseMs: drainSeconds * 1000, graceMs: requestSeconds * 1000 },
  })
}

/** Copies of the model for the cores of a pod, at least one. */
function instancesFor(cpu: string, threads: number): number {
  return Math.max(1, Math.floor(coresOf(cpu) / threads))
}
