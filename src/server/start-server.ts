import { usableCores } from '../core/cores.ts'
import { systemClock } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { createIds } from '../core/ids.ts'
import { silentLogger } from '../core/log.ts'
import { DataPlane } from '../serving/data-plane.ts'
import { Metrics } from '../serving/observe/metrics.ts'
import { ProcessMetrics } from '../serving/observe/process-metrics.ts'
import { requestLog } from '../serving/observe/request-log.ts'
import { docsRoutes } from '../protocol/http/docs.ts'
import { friendlyRoutes } from '../protocol/http/friendly.ts'
import { healthRoutes } from '../protocol/http/health.ts'
import { metricsRoute } from '../protocol/http/metrics-route.ts'
import { v2Routes } from '../protocol/http/v2.ts'
import { desiredState } from './desired-state.ts'
import { listen } from './listen.ts'
import { resolveServer } from './options.ts'
import { openSecurity } from './security.ts'
import type { Cores } from '../core/cores.ts'
import type { Logger } from '../core/log.ts'
import type { HttpServer } from '../protocol/http/server.ts'
import type { ServerConfig, ServerOptions } from './options.ts'
import type { Security } from './security.ts'

export interface StartServerOptions extends ServerOptions {
  readonly logger?: Logger
  /** Where SLIPWAY_API_KEYS and SLIPWAY_ADMIN_TOKEN are looked for. Default: the environment of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** A running server. `await using` closes it. */
export interface SlipwayServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly config: ServerConfig
  readonly cores: Cores
  readonly dataPlane: DataPlane
  readonly metrics: Metrics
  /** Keys, admin token and certificates, which can be read again. */
  readonly security: Security
  /** What could not be loaded at start. */
  readonly failures: readonly SlipwayError[]
  /**
   * Ends politely: unready at once, goes on answering for `shutdown.pauseMs`, finishes what is in flight within
   * `shutdown.graceMs`, then closes. @returns whether everything in flight was answered
   */
  drain(): Promise<boolean>
  close(): Promise<void>
}

/**
 * Starts a server: the composition root of the serving process. Listens first, so that health can be asked while models load.
 * @throws SLW_CONFIG_INVALID, SLW_HOST_REFUSED, SLW_PORT_IN_USE, SLW_PATH_NOT_FOUND; the model's own error when none could be loaded
 */
export async function startServer(options: StartServerOptions): Promise<SlipwayServer> {
  const { logger: log = silentLogger, environment = process.env, ...given } = options
  const config = resolveServer(given)
  await using opened = new AsyncDisposableStack()
  const security = opened.use(await openSecurity(config, environment, log))
  const desired = await desiredState(config)
  if (config.defaultModel !== undefined && !desired.some((document) => document.metadata.name === config.defaultModel)) {
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `defaultModel "${config.defaultModel}" is not among the models: ${desired.map((document) => document.metadata.name).join(', ')}`,
    )
  }
  const cores = usableCores()
  const clock = systemClock
  const metrics = new Metrics(config.metrics)
  const processMetrics = new ProcessMetrics()
  opened.defer(() => processMetrics.close())
  const dataPlane = opened.use(
    new DataPlane({ cores: cores.count, clock, log, observers: [metrics, requestLog(log, config.log)], servingFor: () => config.serving }),
  )
  const http = opened.use(
    await listen(config, security, {
      clock,
      nextId: createIds(),
      observer: dataPlane.observer,
      routes: [
        ...v2Routes(dataPlane, config.limits),
        ...friendlyRoutes(dataPlane, config.limits, config.defaultModel),
        ...healthRoutes(dataPlane, { strict: config.strictReadiness }),
        metricsRoute(dataPlane, metrics, processMetrics),
        ...docsRoutes(dataPlane),
      ],
    }),
  )
  const failures = await dataPlane.apply(desired)
  const [failure] = failures
  if (failure !== undefined && ![...dataPlane.variants()].some((variant) => variant.ready)) throw failure
  const held = opened.move()
  return {
    url: http.url,
    port: http.port,
    config,
    cores,
    dataPlane,
    metrics,
    security,
    failures,
    drain: () => drain(dataPlane, http, config.shutdown),
    close: () => held.disposeAsync(),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

async function drain(dataPlane: DataPlane, http: HttpServer, shutdown: ServerConfig['shutdown']): Promise<boolean> {
  dataPlane.announceDrain()
  http.announceClose()
  await delay(shutdown.pauseMs)
  let timedOut = false
  const finished = Promise.all([dataPlane.drain(), http.close()])
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(() => {
    timedOut = true
    resolve()
  }, shutdown.graceMs)
  await Promise.race([finished, late])
  clearTimeout(timer)
  if (timedOut) http.abort()
  return !timedOut
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
