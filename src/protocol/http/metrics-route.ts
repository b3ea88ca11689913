import { exposeText, OPENMETRICS_TYPE, prefersOpenMetrics, TEXT_TYPE } from '../../serving/observe/exposition.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { Metrics } from '../../serving/observe/metrics.ts'
import type { ProcessMetrics } from '../../serving/observe/process-metrics.ts'
import type { Route } from './routes.ts'

export function metricsRoute(dataPlane: DataPlane, metrics: Metrics, processMetrics: ProcessMetrics): Route {
  return {
    method: 'GET',
    path: '/metrics',
    access: 'metrics',
    handle(exchange) {
      const openMetrics = prefersOpenMetrics(exchange.header('accept'))
      const families = [...metrics.families(dataPlane.variants()), ...processMetrics.families()]
      exchange.send(200, openMetrics ? OPENMETRICS_TYPE : TEXT_TYPE, exposeText(families, openMetrics))
    },
  }
}
