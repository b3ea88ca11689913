import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { createIds } from '../core/ids.ts'
import { DataPlane } from '../serving/data-plane.ts'
import { withEnsembles } from '../serving/ensemble/open-ensemble.ts'
import { METRICS } from '../serving/observe/catalog.ts'
import { familiesOf } from '../serving/observe/merge.ts'
import { Metrics } from '../serving/observe/metrics.ts'
import { Observations } from '../serving/observe/observations.ts'
import { ProcessMetrics } from '../serving/observe/process-metrics.ts'
import { requestLog } from '../serving/observe/request-log.ts'
import { GRPC } from '../protocol/grpc/dialect.ts'
import { adminRoutes } from '../protocol/http/admin.ts'
import { docsRoutes } from '../protocol/http/docs.ts'
import { hintsOf } from '../protocol/http/dialects/hints.ts'
import { byPort, speak } from '../protocol/http/dialects/speak.ts'
import { BodyThreads } from '../protocol/bodies/body-threads.ts'
import { feedbackRoute } from '../protocol/http/feedback-route.ts'
import { healthRoutes } from '../protocol/http/health.ts'
import { metricsRoute } from '../protocol/http/metrics-route.ts'
import { isLoopback } from '../security/host-check.ts'
import { auditLog } from './audit-log.ts'
import { openGrpc } from './grpc.ts'
import { listen } from './listen.ts'
import { openServerRecords } from './records.ts'
import type { TracingConfig } from '../serving/observe/tracing/options.ts'
import type { Tracing, TracingSurroundings } from '../serving/observe/tracing/tracing.ts'
import type { Logger } from '../core/log.ts'
import type { Family } from '../serving/observe/exposition.ts'
import type { ProcessCounts } from '../serving/observe/merge.ts'
import type { TakeFeedback } from '../protocol/http/feedback-route.ts'
import type { HealthOptions } from '../protocol/http/health.ts'
import type { FollowStatus } from '../following/types.ts'
import type { SourceState } from './source.ts'
import type { Administration } from '../protocol/http/admin.ts'
import type { DialectHost } from '../protocol/http/dialects/dialect.ts'
import type { GrpcServer } from '../protocol/grpc/server.ts'
import type { SpokenDialect } from '../protocol/http/dialects/speak.ts'
import type { HttpServer } from '../protocol/http/server.ts'
import type { LogOutput } from './log-output.ts'
import type { ServerConfig } from './options.ts'
import type { Security } from './security.ts'

export interface ServingProcessOptions {
  readonly config: ServerConfig
  readonly security: Security
  readonly log: Logger
  /** Cores for this process: its share where there are several. */
  readonly cores: number
  readonly memoryBudgetBytes: number | undefined
  readonly administration: Administration
  /** State of the source of models; undefined where another process has it. */
  readonly source?: (() => SourceState) | undefined
  /** The same for health, where another process has it. Default: `source`. */
  readonly sourceHealth?: HealthOptions['source']
  /** Keeps labels of predictions for the control plane. Default: there is none, and they are counted alone. */
  readonly takeFeedback?: TakeFeedback | undefined
  readonly logOutput?: Pick<LogOutput, 'dropped'> | undefined
  /** Environment in which references to secrets are looked up. Default: that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** See `Behind.held`. */
  readonly held?: ReadonlyMap<string, unknown> | undefined
  /** Runs before the listeners open. Default: they open at once, so that health can be asked while models load. */
  readonly beforeListening?: (dataPlane: DataPlane) => Promise<unknown>
  /** Counts of the whole server. Default: those of this process. */
  readonly allCounts?: () => Promise<ProcessCounts>
}

/** The parts of one process that answers predictions: data plane, observers, open listeners. Serves nothing yet. */
export interface ServingProcess extends AsyncDisposable {
  readonly dataPlane: DataPlane
  readonly metrics: Metrics
  readonly http: HttpServer
  /** Undefined where gRPC is off. */
  readonly grpc: GrpcServer | undefined
  /** Counts of this process. */
  counts(): ProcessCounts
  /** Shuts down gracefully. @returns whether everything in flight was answered in time */
  drain(): Promise<boolean>
}

/** @throws SLW_PORT_IN_USE, SLW_CONFIG_INVALID */
export async function openServingProcess(options: ServingProcessOptions): Promise<ServingProcess> {
  const { config, security, log, cores, memoryBudgetBytes, administration, logOutput } = options
  await using opened = new AsyncDisposableStack()
  const clock = systemClock
  const metrics = new Metrics(config.metrics)
  const observations = new Observations()
  const processMetrics = new ProcessMetrics()
  opened.defer(() => processMetrics.close())
  // Opened before the data plane that it observes, so that it is closed after it, and then sends what is left.
  const tracing = opened.use(await openTracing(config.tracing, { clock, log }))
  const traced = tracing === undefined ? [] : [tracing]
  const dataPlane = opened.use(
    new DataPlane({
      cores,
      clock,
      log,
      observers: [metrics, observations, requestLog(log, config.log), ...traced],
      servingFor: () => config.serving,
      backend: withEnsembles,
      memoryBudgetBytes,
      sandboxPython: config.sandboxPython,
      expectsChanges: config.pollMs > 0 || config.controlPlane !== undefined || security.adminToken !== undefined,
      drainTimeoutMs: config.shutdown.graceMs,
    }),
  )
  const { controlPlane } = config
  const records =
    controlPlane === undefined
      ? undefined
      : await openServerRecords({ config: controlPlane, dataPlane, environment: options.environment ?? process.env, clock, log })
  if (records !== undefined) opened.use(records)
  const counts = (): ProcessCounts => ({
    observed: observations.snapshot([...dataPlane.variants()].map(({ subject }) => subject)),
    families: [
      ...metrics.families(dataPlane),
      ...processMetrics.families(),
      ...traced.flatMap((source) => source.families()),
      ...(records?.families() ?? []),
      ...followingFamilies(options.source?.().following),
      {
        name: 'slipway_log_dropped_total',
        info: METRICS.slipway_log_dropped_total,
        samples: [{ labels: {}, value: logOutput?.dropped ?? 0 }],
      },
    ],
  })
  const { allCounts = () => Promise.resolve(counts()) } = options
  await options.beforeListening?.(dataPlane)
  const host: DialectHost = {
    dataPlane,
    limits: config.limits,
    // One core is left to those who send small bodies.
    bodies: opened.use(new BodyThreads(Math.max(1, Math.floor(cores) - 1))),
    defaultModel: config.defaultModel,
    administration,
    counts: allCounts,
    metrics: async () => familiesOf(await allCounts(), config.metrics),
    tracing: config.tracing,
    logFile: config.log.file,
    vertex: config.vertex,
  }
  const http = opened.use(await openDoor(options, host))
  const grpc = opened.use(await openGrpc(options, host))
  const held = opened.move()
  return {
    dataPlane,
    metrics,
    http,
    grpc,
    counts,
    async drain() {
      const clean = await drain(dataPlane, grpc === undefined ? [http] : [http, grpc], config.shutdown)
      await records?.flush()
      return clean
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Opens the addresses of a process: those of its dialects, and those that every server has. */
async function openDoor(options: ServingProcessOptions, host: DialectHost): Promise<HttpServer> {
  const { config, security, log, administration } = options
  const { dataPlane } = host
  const admin = security.adminToken === undefined ? 'off' : config.adminPort === undefined ? 'beside' : 'apart'
  const spoken = speak(config.dialects, host)
  refuseOpenManagement(config, security, spoken)
  const placed = byPort(spoken, {
    admin,
    health: healthRoutes(dataPlane, { strict: config.strictReadiness, source: options.sourceHealth ?? options.source }),
    base: [metricsRoute(host.metrics), feedbackRoute(dataPlane, options.takeFeedback, config.limits.jsonNesting), ...docsRoutes(dataPlane)],
  })
  return await listen(config, security, {
    ...placed,
    clock: systemClock,
    nextId: createIds(),
    audit: auditLog(log),
    dialects: spoken.map(({ dialect }) => dialect),
    // Whoever follows the hint keeps what the server speaks.
    hint: hintsOf(config.grpc === undefined ? config.dialects : [...config.dialects, GRPC], host, admin),
    adminRoutes: [...placed.adminRoutes, ...(admin === 'off' ? [] : adminRoutes(administration))],
    held: options.held,
  })
}

/** Metrics of following: time since the control plane was last heard of, revisions that it declares, and records that it refused. */
export function followingFamilies(status: FollowStatus | undefined): Family[] {
  if (status === undefined) return []
  const revisions = status.endpoints.map(({ name, revision }) => ({ labels: { endpoint: name }, value: revision }))
  return [
    {
      name: 'slipway_control_plane_stale_seconds',
      info: METRICS.slipway_control_plane_stale_seconds,
      samples: [{ labels: {}, value: status.staleSeconds }],
    },
    { name: 'slipway_endpoint_revision', info: METRICS.slipway_endpoint_revision, samples: revisions },
    {
      name: 'slipway_records_refused_total',
      info: METRICS.slipway_records_refused_total,
      samples: [{ labels: {}, value: status.recordsRefused ?? 0 }],
    },
  ]
}

/** @throws SLW_HOST_REFUSED where whoever reaches the server could load and unload models */
function refuseOpenManagement({ host, insecure }: ServerConfig, { adminToken }: Security, spoken: readonly SpokenDialect[]): void {
  const open = spoken.find(({ dialect }) => dialect.managedByPlatform === true)
  if (open === undefined || adminToken !== undefined || insecure || isLoopback(host)) return
  throw new SlipwayError(
    'SLW_HOST_REFUSED',
    `dialect ${open.dialect.name}: its platform manages models without credentials, and --host ${host} listens beyond this machine. Set SLIPWAY_ADMIN_TOKEN, or add --insecure in a container that only the platform reaches`,
  )
}

async function drain(
  dataPlane: DataPlane,
  doors: readonly (HttpServer | GrpcServer)[],
  shutdown: ServerConfig['shutdown'],
): Promise<boolean> {
  dataPlane.announceDrain()
  for (const door of doors) door.announceClose()
  await delay(shutdown.pauseMs)
  let timedOut = false
  // Listeners close first: a request whose body is still coming has its place in a queue, and is answered.
  const finished = Promise.all(doors.map((door) => door.close())).then(() => dataPlane.drain())
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(() => {
    timedOut = true
    resolve()
  }, shutdown.graceMs)
  await Promise.race([finished, late])
  clearTimeout(timer)
  if (timedOut) for (const door of doors) door.abort()
  return !timedOut
}

/** Tracing is loaded only where it is configured: most servers start without its protocol. */
async function openTracing(config: TracingConfig, surroundings: TracingSurroundings): Promise<Tracing | undefined> {
  const { endpoint } = config
  if (endpoint === undefined) return undefined
  const { Tracing: Loaded } = await import('../serving/observe/tracing/tracing.ts')
  return new Loaded({ ...config, endpoint }, surroundings)
}
