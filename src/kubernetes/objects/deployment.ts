import { labelsOf } from '../resolve.ts'
import { podTemplate } from './pod.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'

const REVISIONS_KEPT = 10

/** The pods of one variant, or of all. Without `replicas` where something scales: each apply would set them back. */
export function deployment(resolved: ResolvedKubernetes, workload: Workload, configDigest: string): KubernetesObject {
  const { namespace, spec, scaler, options, startSeconds } = resolved
  // There may be no device to spare for one pod more.
  const { maxSurge = options.gpu === undefined ? 1 : 0, maxUnavailable = options.gpu === undefined ? 0 : 1 } = options.rollingUpdate ?? {}
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: workload.name, namespace, labels: labelsOf(resolved, workload) },
    spec: {
      ...(scaler === undefined && { replicas: spec.replicas }),
      revisionHistoryLimit: REVISIONS_KEPT,
      progressDeadlineSeconds: Math.max(600, startSeconds * 2),
      selector: { matchLabels: workload.selector },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
      template: podTemplate(resolved, workload, configDigest),
    },
  }
}
