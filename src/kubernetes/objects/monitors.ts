import { VARIANT_LABEL } from '../labels.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

const LATENCY_MS = 1000
/** Shares of failed requests, as a service with 99.9 percent allows them: a month's budget gone in two days, or in ten. */
const BURN_RATES = [
  { name: 'Fast', rate: 14.4, long: '1h', short: '5m', for: '2m', severity: 'critical' },
  { name: 'Slow', rate: 3, long: '1d', short: '2h', for: '1h', severity: 'warning' },
] as const
const ERROR_BUDGET = 0.001

/** What the Prometheus operator scrapes, and what is alerted of. */
export function monitors(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { name, namespace, labels, options } = resolved
  const { monitoring } = options
  if (monitoring === undefined || monitoring === false) return []
  const { keySecret, by = 'pods' } = monitoring
  const found = { ...labels, ...monitoring.labels }
  const endpoint = {
    port: 'http',
    path: '/metrics',
    interval: '15s',
    scrapeTimeout: '10s',
    ...(keySecret !== undefined && { authorization: { type: 'Bearer', credentials: { name: keySecret, key: 'key' } } }),
  }
  return [
    {
      apiVersion: 'monitoring.coreos.com/v1',
      kind: by === 'pods' ? 'PodMonitor' : 'ServiceMonitor',
      metadata: { name, namespace, labels: found },
      spec: { selector: selectorFor(by, resolved), [by === 'pods' ? 'podMetricsEndpoints' : 'endpoints']: [endpoint] },
    },
    {
      apiVersion: 'monitoring.coreos.com/v1',
      kind: 'PrometheusRule',
      metadata: { name, namespace, labels: found },
      spec: { groups: [{ name: `slipway-${name}`, rules: rulesOf(resolved, monitoring.latencyMs ?? LATENCY_MS) }] },
    },
  ]
}

/** Each pod once: with a Service for each variant beside that of the endpoint, those of the variants alone. */
function selectorFor(by: 'pods' | 'service', { selector, traffic }: ResolvedKubernetes): object {
  if (by === 'pods') return { matchLabels: selector }
  return {
    matchLabels: selector,
    matchExpressions: [{ key: VARIANT_LABEL, operator: traffic === 'service' ? 'DoesNotExist' : 'Exists' }],
  }
}

function rulesOf({ name, namespace, workloads }: ResolvedKubernetes, latencyMs: number): object[] {
  const pods = `namespace="${namespace}",pod=~"(${workloads.map((workload) => workload.name).join('|')})-[a-z0-9]+-[a-z0-9]+"`
  const failing = (range: string): string =>
    `sum(rate(slipway_request_duration_seconds_count{${pods},code=~"5.."}[${range}])) / sum(rate(slipway_request_duration_seconds_count{${pods}}[${range}]))`
  const alert = (title: string, severity: string, [expr, wait]: readonly [expr: string, wait: string], summary: string): object => ({
    alert: title,
    expr,
    for: wait,
    labels: { severity, endpoint: name },
    annotations: { summary },
  })
  return [
    ...BURN_RATES.map(({ name: kind, rate, long, short, for: wait, severity }) =>
      alert(
        `SlipwayErrorBudget${kind}`,
        severity,
        [`${failing(long)} > ${rate} * ${ERROR_BUDGET} and ${failing(short)} > ${rate} * ${ERROR_BUDGET}`, wait],
        `endpoint ${name} fails more requests than 99.9 percent allow, by ${rate} times`,
      ),
    ),
    alert(
      'SlipwayLatency',
      'warning',
      [`histogram_quantile(0.99, sum by (le) (rate(slipway_request_duration_seconds_bucket{${pods}}[5m]))) > ${latencyMs / 1000}`, '10m'],
      `endpoint ${name}: 1 of 100 requests takes longer than ${latencyMs} ms`,
    ),
    alert(
      'SlipwayRefusing',
      'warning',
      [`sum(rate(slipway_rejected_total{${pods}}[5m])) > 0`, '10m'],
      `endpoint ${name} refuses requests: it needs more pods, or has too long a queue`,
    ),
    alert(
      'SlipwayModelNotReady',
      'critical',
      [`min(slipway_model_ready{${pods}}) == 0`, '15m'],
      `endpoint ${name} has a pod whose model cannot answer`,
    ),
    // No series at all: nobody would be told otherwise.
    alert('SlipwayAbsent', 'critical', [`absent(slipway_build_info{${pods}})`, '5m'], `no pod of endpoint ${name} is measured`),
  ]
}
