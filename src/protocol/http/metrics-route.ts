import { chooseFormat } from '../../serving/observe/exposition-format.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { Route } from './routes.ts'

/** @param families current values, of all processes of the server */
export function metricsRoute(families: () => Promise<readonly Family[]>, path = '/metrics'): Route {
  return {
    method: 'GET',
    path,
    access: 'metrics',
    async handle(exchange) {
      const { contentType, expose } = chooseFormat(exchange.header('accept'))
      exchange.send(200, contentType, expose(await families()))
    },
  }
}
