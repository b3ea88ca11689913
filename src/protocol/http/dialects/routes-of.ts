import { infer } from '../../../serving/inference.ts'
import { HttpCaller } from '../http-caller.ts'
import type { Exchange } from '../exchange.ts'
import type { Params, Route } from '../routes.ts'
import type { Dialect, DialectHost } from './dialect.ts'

/** The routes of a dialect as the server takes them. */
export function routesOf(dialect: Dialect, host: DialectHost): Route[] {
  return dialect.routes(host).map((route) => {
    if ('handle' in route) return { ...route, error: dialect.error }
    const { method, path } = route
    const handle = (exchange: Exchange, params: Params): void =>
      infer(
        host.dataPlane,
        new HttpCaller({ exchange, protocol: dialect.name, target: () => route.target(params), conversation: route.converse(exchange) }),
      )
    return { method, path, access: 'predict', error: dialect.error, handle }
  })
}
