/** Server puts a serving process together: configuration, listeners, several processes that act as one. */
import { usableCores } from '../core/cores.ts'
import { systemClock } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { silentLogger } from '../core/log.ts'
import { Repository } from '../serving/repository/repository.ts'
import { administer } from './administration.ts'
import { reopenLog } from './log-output.ts'
import { resolveServer } from './options.ts'
import { openSecurity } from './security.ts'
import { describeServed } from './served.ts'
import { openServingProcess } from './serving-process.ts'
import { sourceOfFiles } from './source.ts'
import type { Source } from './source.ts'
import type { Cores } from '../core/cores.ts'
import type { Logger } from '../core/log.ts'
import type { LogOutput } from './log-output.ts'
import type { DataPlane } from '../serving/data-plane.ts'
import type { FollowingOptions, Served } from './following.ts'
import type { RepositoryOptions } from '../serving/repository/repository.ts'
import type { Metrics } from '../serving/observe/metrics.ts'
import type { ServerConfig, ServerOptions } from './options.ts'
import type { Security } from './security.ts'
import type { ServedModel } from './served.ts'

export interface StartServerOptions extends ServerOptions {
  readonly logger?: Logger
  /** Output of `logger`, so that its file can be reopened and its lost lines reported. */
  readonly logOutput?: LogOutput
  /** Environment in which SLIPWAY_API_KEYS and SLIPWAY_ADMIN_TOKEN are looked up. Default: that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** A running server, of one process or of several. `await using` closes it. */
export interface RunningServer extends AsyncDisposable {
  readonly url: string
  /** URLs of every port that it listens on: port, port of administration, ports of dialects. */
  readonly urls: readonly string[]
  readonly port: number
  /** HOST:PORT of gRPC; undefined where that is off. */
  readonly grpc: string | undefined
  readonly config: ServerConfig
  readonly cores: Cores
  /** Source of the versions that are served, and the way to change them. */
  readonly repository: Source
  /** Errors of models that could not be loaded at start. */
  readonly failures: readonly SlipwayError[]
  /** The models that are served now. */
  served(): Promise<readonly ServedModel[]>
  /**
   * Shuts down gracefully: unready at once, goes on answering for `shutdown.pauseMs`, finishes what is in flight within
   * `shutdown.graceMs`, then closes. @returns whether everything in flight was answered
   */
  drain(): Promise<boolean>
  /** Reloads keys, tokens, certificates and folders of models, and reopens the log, as SIGHUP asks. */
  reload(): Promise<void>
  close(): Promise<void>
}

/** A server in this process. */
export interface SlipwayServer extends RunningServer {
  readonly dataPlane: DataPlane
  readonly metrics: Metrics
  /** Keys, admin token and certificates, which can be read again. */
  readonly security: Security
}

/**
 * Starts a server in this process. Listens first, so that health can be asked while models load.
 * @throws SLW_CONFIG_INVALID, SLW_HOST_REFUSED, SLW_PORT_IN_USE, SLW_PATH_NOT_FOUND; the model's own error when none could be loaded
 */
export async function startServer(options: StartServerOptions): Promise<SlipwayServer> {
  const { logger: log = silentLogger, logOutput, environment = process.env, ...given } = options
  const config = resolveServer(given)
  if (config.processes > 1)
    throw new SlipwayError('SLW_CONFIG_INVALID', 'processes: startServer serves in this process; startCluster starts several')
  await using opened = new AsyncDisposableStack()
  const security = opened.use(await openSecurity(config, environment, log))
  const repository = await openSource(config, log, environment, {
    change: (name, desired) => serving.dataPlane.change(name, desired),
    route: (desired) => serving.dataPlane.route(desired),
    live: () => serving.dataPlane.live(),
    watch: (changed) => void serving.dataPlane.watch(changed),
    serves: (endpoint, path) => serving.dataPlane.serves(endpoint, path),
    observed: () => Promise.resolve(serving.counts().observed),
  })
  await using closing = new AsyncDisposableStack()
  closing.defer(() => repository.close())
  const cores = usableCores()
  const serving = opened.use(
    await openServingProcess({
      config,
      security,
      log,
      cores: cores.count,
      memoryBudgetBytes: budgetBytes(config, 1),
      administration: administer(repository, log),
      source: () => repository.state(),
      takeFeedback: repository.takeFeedback,
      logOutput,
      environment,
    }),
  )
  const { dataPlane, metrics, http } = serving
  // Closed before the serving process, so that nothing is changed while that ends.
  opened.use(closing.move())
  const anyReady = (): boolean => [...dataPlane.variants()].some((variant) => variant.ready)
  const failures = await repository.begin({ url: http.url, port: http.port, anyReady })
  const held = opened.move()
  return {
    url: http.url,
    urls: http.urls,
    port: http.port,
    grpc: serving.grpc?.target,
    config,
    cores,
    dataPlane,
    metrics,
    security,
    repository,
    failures,
    served: () => Promise.resolve(describeServed(dataPlane, http.url, security.keys !== undefined)),
    drain: () => serving.drain(),
    async reload() {
      await security.reload()
      reopenLog(logOutput, log)
      await repository.rescan(true)
    },
    close: () => held.disposeAsync(),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** The repository of a server, its sources read. @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID, SLW_CONFIG_INVALID */
export async function openRepository(
  config: ServerConfig,
  log: Logger,
  serving: Pick<RepositoryOptions, 'change' | 'serves'>,
): Promise<Repository> {
  const { models: sources, versions, modelRoots, defaultModel } = config
  const repository = new Repository({ sources, versions, modelRoots, clock: systemClock, log, ...serving })
  const names = (await repository.read()).map((document) => document.metadata.name)
  if (defaultModel === undefined || names.includes(defaultModel)) return repository
  throw new SlipwayError('SLW_CONFIG_INVALID', `defaultModel "${defaultModel}" is not among the models: ${names.join(', ')}`)
}

/**
 * The source of what a server serves: a control plane where the configuration names one, else files.
 * @throws as {@link openRepository}; SLW_STORE_UNAVAILABLE, and SLW_CONFIG_INVALID where both are named
 */
export async function openSource(
  config: ServerConfig,
  log: Logger,
  environment: Readonly<Record<string, string | undefined>>,
  { observed, serves, ...served }: Pick<RepositoryOptions, 'serves'> & Served & Pick<FollowingOptions, 'observed'>,
): Promise<Source> {
  const { controlPlane, models, pollMs, port } = config
  if (controlPlane === undefined)
    return sourceOfFiles(await openRepository(config, log, { change: served.change, ...(serves !== undefined && { serves }) }), pollMs)
  if (models.length > 0)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `models of files and a control plane are two desired states: name either ${models[0]!.path} or ${controlPlane.url}`,
    )
  const { sourceOfControlPlane } = await import('./following.ts')
  return await sourceOfControlPlane({ config: controlPlane, port, environment, log, served, observed })
}

/** Share of the memory budget for one of so many processes. */
export function budgetBytes({ memoryBudgetMb }: ServerConfig, processes: number): number | undefined {
  return memoryBudgetMb === undefined ? undefined : Math.floor((memoryBudgetMb * 1024 * 1024) / processes)
}
