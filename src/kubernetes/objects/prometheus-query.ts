import type { ResolvedKubernetes, Workload } from '../resolve.ts'

/** Metrics of our servers by which pods are scaled, summed over the pods of a workload. */
const SERIES = {
  rps: (selector: string) => `sum(rate(slipway_request_duration_seconds_count${selector}[1m]))`,
  concurrency: (selector: string) => `sum(slipway_inflight_requests${selector})`,
  queue: (selector: string) => `sum(slipway_queue_requests${selector})`,
} as const

/** What a Prometheus that scrapes the pods is asked. */
export function prometheusQuery(metric: keyof typeof SERIES, { namespace }: ResolvedKubernetes, { name }: Workload): string {
  return SERIES[metric](`{namespace="${namespace}",pod=~"${name}-[a-z0-9]+-[a-z0-9]+"}`)
}
