import { chooseFormat } from '../../serving/observe/exposition-format.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { Metrics } from '../../serving/observe/metrics.ts'
import type { Route } from './routes.ts'

/** Whatever has metrics of its own beside those of requests. */
export interface FamilySource {
  families(): readonly Family[]
}

export function metricsRoute(dataPlane: DataPlane, metrics: Metrics, others: readonly FamilySource[]): Route {
  return {
    method: 'GET',
    path: '/metrics',
    handle(exchange) {
      const { contentType, expose } = chooseFormat(exchange.header('accept'))
      const families = [...metrics.families(dataPlane.variants()), ...others.flatMap((source) => source.families())]
      exchange.send(200, contentType, expose(families))
    },
  }
}
