/** Labels of our objects, and how they are named. Selectors hold what never changes: endpoint and variant, no version. */
import { labelValue } from './names.ts'

/** Field manager of what we apply, and the value of app.kubernetes.io/managed-by. */
export const MANAGER = 'slipway'
export const ENDPOINT_LABEL = 'slipway.dev/endpoint'
export const VARIANT_LABEL = 'slipway.dev/variant'

/** Ports of the pods, by the names that Services and monitors use. */
export const PORTS = { http: 8470, grpc: 8471 } as const

/** By which pods of an endpoint are selected, or of one of its variants. */
export function selectorOf(endpoint: string, variant?: string): Readonly<Record<string, string>> {
  return {
    'app.kubernetes.io/name': 'slipway',
    'app.kubernetes.io/instance': labelValue(endpoint),
    ...(variant !== undefined && { [VARIANT_LABEL]: variant }),
  }
}

/** Name of the metrics adapter, and of its pods, and the namespace that it has unless another is given. */
export const METRICS_ADAPTER = { name: 'slipway-metrics-adapter', namespace: 'slipway' } as const

/** Metrics of pods that are scaled by, in custom.metrics.k8s.io: each an average over the pods that it is asked for. */
export const SCALING_METRICS = {
  rps: 'slipway_requests_per_second',
  concurrency: 'slipway_requests_in_flight',
  queue: 'slipway_requests_queued',
} as const
