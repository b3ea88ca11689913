/** The logging and trace extensions of Triton: what is in force, and the level of the log, which an administrator can change. */
import { levelMeant, logSettings } from '../../../v2/log-settings.ts'
import { checkTraceChanges, traceSettings } from '../../../v2/trace-settings.ts'
import { readObject } from '../../json-object.ts'
import type { LogSettings } from '../../../v2/log-settings.ts'
import type { Route } from '../../routes.ts'
import type { DialectHost } from '../dialect.ts'

export function settingRoutes({ dataPlane, administration, tracing, logFile }: DialectHost): Route[] {
  const log = async (): Promise<LogSettings> => logSettings(await administration.logLevel(), logFile)
  const setLog: Route['handle'] = async (exchange) => {
    const changes = await readObject(exchange)
    exchange.administers({ wish: changes })
    const present = await log()
    const level = levelMeant(present, changes)
    if (Object.keys(changes).length > 0) await administration.setLogLevel(level)
    exchange.json(200, JSON.stringify(await log()))
  }
  const trace: Route['handle'] = (exchange, { name }) => {
    if (name !== undefined) dataPlane.endpoint(name)
    exchange.json(200, JSON.stringify(traceSettings(tracing)))
  }
  const setTrace: Route['handle'] = async (exchange, { name }) => {
    if (name !== undefined) dataPlane.endpoint(name)
    const settings = traceSettings(tracing)
    checkTraceChanges(await readObject(exchange), settings)
    exchange.json(200, JSON.stringify(settings))
  }
  return [
    { method: 'GET', path: '/v2/logging', access: 'predict', handle: async (exchange) => exchange.json(200, JSON.stringify(await log())) },
    { method: 'POST', path: '/v2/logging', access: 'admin', handle: setLog },
    ...['/v2/trace/setting', '/v2/models/:name/trace/setting'].flatMap((path): Route[] => [
      { method: 'GET', path, access: 'predict', handle: trace },
      { method: 'POST', path, access: 'predict', handle: setTrace },
    ]),
  ]
}
