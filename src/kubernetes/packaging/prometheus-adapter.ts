/** For those who have a Prometheus and its adapter: the metrics by which HPAs scale, under the names that `slipway metrics-adapter` has. */
import { stringify } from 'yaml'
import { SCALING_METRICS } from '../labels.ts'
import type { Package } from './files.ts'

const PODS = '<<.LabelMatchers>>'
const RULES = {
  rps: { series: 'slipway_request_duration_seconds_count', query: `sum(rate(<<.Series>>{${PODS}}[1m])) by (<<.GroupBy>>)` },
  concurrency: { series: 'slipway_inflight_requests', query: `sum(<<.Series>>{${PODS}}) by (<<.GroupBy>>)` },
  queue: { series: 'slipway_queue_requests', query: `sum(<<.Series>>{${PODS}}) by (<<.GroupBy>>)` },
} as const satisfies Record<keyof typeof SCALING_METRICS, unknown>

/** Values of the chart prometheus-adapter: `helm upgrade ... --values prometheus-adapter.yaml`. The same for all endpoints. */
export function prometheusAdapter(): Package {
  const custom = (Object.keys(RULES) as (keyof typeof RULES)[]).map((metric) => ({
    seriesQuery: `${RULES[metric].series}{namespace!="",pod!=""}`,
    resources: { overrides: { namespace: { resource: 'namespace' }, pod: { resource: 'pod' } } },
    name: { as: SCALING_METRICS[metric] },
    metricsQuery: RULES[metric].query,
  }))
  return { files: new Map([['prometheus-adapter.yaml', stringify({ rules: { default: false, custom } }, { lineWidth: 0 })]]), notes: [] }
}
