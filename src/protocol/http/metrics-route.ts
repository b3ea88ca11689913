import { exposeText, OPENMETRICS_TYPE, prefersOpenMetrics, TEXT_TYPE } from '../../serving/observe/exposition.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { Route } from './routes.ts'

/** @param families current values, of all processes of the server */
export function metricsRoute(families: () => Promise<readonly Family[]>): Route {
  return {
    method: 'GET',
    path: '/metrics',
    access: 'metrics',
    async handle(exchange) {
      const openMetrics = prefersOpenMetrics(exchange.header('accept'))
      exchange.send(200, openMetrics ? OPENMETRICS_TYPE : TEXT_TYPE, exposeText(await families(), openMetrics))
    },
  }
}
