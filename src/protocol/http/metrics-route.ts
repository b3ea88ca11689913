import { chooseFormat } from '../../serving/observe/exposition-format.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { Route } from './routes.ts'

/**
 * `?name[]=NAME`, as often as wanted, leaves the other metrics out: for those who ask often and want few (the parameter that the client
 * libraries of Prometheus for Java and Python have).
 * @param families current values, of all processes of the server
 */
export function metricsRoute(families: () => Promise<readonly Family[]>, path = '/metrics'): Route {
  return {
    method: 'GET',
    path,
    access: 'metrics',
    async handle(exchange) {
      const { contentType, expose } = chooseFormat(exchange.header('accept'))
      const wanted = new URL(exchange.request.url ?? path, 'http://server').searchParams.getAll('name[]')
      const all = await families()
      exchange.send(200, contentType, expose(wanted.length === 0 ? all : all.filter(({ name }) => wanted.includes(name))))
    },
  }
}
