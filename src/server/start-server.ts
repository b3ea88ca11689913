import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { usableCores } from '../core/cores.ts'
import { systemClock } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { createIds } from '../core/ids.ts'
import { silentLogger } from '../core/log.ts'
import { DataPlane } from '../serving/data-plane.ts'
import { Metrics } from '../serving/observe/metrics.ts'
import { ProcessMetrics } from '../serving/observe/process-metrics.ts'
import { requestLog } from '../serving/observe/request-log.ts'
import { startTracing } from '../serving/observe/tracing/tracing.ts'
import { docsRoutes } from '../protocol/http/docs.ts'
import { friendlyRoutes } from '../protocol/http/friendly.ts'
import { healthRoutes } from '../protocol/http/health.ts'
import { metricsRoute } from '../protocol/http/metrics-route.ts'
import { HttpServer } from '../protocol/http/server.ts'
import { v2Routes } from '../protocol/http/v2.ts'
import { desiredState } from './desired-state.ts'
import { resolveServer } from './options.ts'
import type { Cores } from '../core/cores.ts'
import type { Logger } from '../core/log.ts'
import type { ServerConfig, ServerOptions } from './options.ts'

export interface StartServerOptions extends ServerOptions {
  readonly logger?: Logger
}

/** A running server. `await using` closes it. */
export interface SlipwayServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly config: ServerConfig
  readonly cores: Cores
  readonly dataPlane: DataPlane
  readonly metrics: Metrics
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
  const { logger: log = silentLogger, ...given } = options
  const config = resolveServer(given)
  refuseOpenHost(config)
  const desired = await desiredState(config)
  if (config.defaultModel !== undefined && !desired.some((document) => document.metadata.name === config.defaultModel)) {
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `defaultModel "${config.defaultModel}" is not among the models: ${desired.map((document) => document.metadata.name).join(', ')}`,
    )
  }
  await using opened = new AsyncDisposableStack()
  const cores = usableCores()
  const clock = systemClock
  const metrics = new Metrics(config.metrics)
  const processMetrics = new ProcessMetrics()
  opened.defer(() => processMetrics.close())
  // Opened before what it hears of, so that it is closed after: then it sends what is left.
  const tracing = opened.use(startTracing(config.tracing, { clock, log }))
  const traced = tracing === undefined ? [] : [tracing]
  const observers = [metrics, requestLog(log, config.log), ...traced]
  const dataPlane = opened.use(new DataPlane({ cores: cores.count, clock, log, observers, servingFor: () => config.serving }))
  const http = opened.use(
    await listen(config, {
      host: config.host,
      port: config.port,
      limits: config.limits,
      clock,
      nextId: createIds(),
      observer: dataPlane.observer,
      routes: [
        ...v2Routes(dataPlane, config.limits),
        ...friendlyRoutes(dataPlane, config.limits, config.defaultModel),
        ...healthRoutes(dataPlane, { strict: config.strictReadiness }),
        metricsRoute(dataPlane, metrics, [processMetrics, ...traced]),
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

function refuseOpenHost({ host, insecure }: ServerConfig): void {
  const loopback = host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
  if (loopback || insecure) return
  throw new SlipwayError(
    'SLW_HOST_REFUSED',
    `--host ${host} would let anyone who reaches this machine use the models: this release has neither keys nor TLS. Listen on 127.0.0.1 behind a proxy, or add --insecure on a network you trust`,
  )
}

async function listen(config: ServerConfig, options: Parameters<typeof HttpServer.listen>[0]): Promise<HttpServer> {
  try {
    return await HttpServer.listen(options)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE')
      throw new SlipwayError(
        'SLW_PORT_IN_USE',
        `port ${config.port} on ${config.host} is taken${holderOf(config.port)}; choose another with --port`,
      )
    throw new SlipwayError('SLW_CONFIG_INVALID', `cannot listen on ${config.host}:${config.port}: ${message}`)
  }
}

/** Which process listens on a port, where the kernel tells us. */
function holderOf(port: number): string {
  try {
    const hexPort = port.toString(16).toUpperCase().padStart(4, '0')
    const listening = '0A'
    const inodes = new Set<string>()
    for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
      for (const line of readFileSync(table, 'utf8').split('\n').slice(1)) {
        const fields = line.trim().split(/\s+/)
        if (fields[3] === listening && fields[1]?.endsWith(`:${hexPort}`) === true && fields[9] !== undefined)
          inodes.add(`socket:[${fields[9]}]`)
      }
    }
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const holds = readLinks(`/proc/${pid}/fd`).some((link) => inodes.has(link))
      if (holds) return ` by process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`
    }
  } catch {
    // Not Linux, or not allowed to look: the message does without.
  }
  return ''
}

function readLinks(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => {
      try {
        return readlinkSync(`${folder}/${name}`)
      } catch {
        return ''
      }
    })
  } catch {
    return []
  }
}
