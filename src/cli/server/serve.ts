import { flushCompileCache } from 'node:module'
import { orLate, systemClock } from '../../core/clock.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { endProcess } from '../../engine/end-process.ts'
import { silentLogger } from '../../core/log.ts'
import { slipwayVersion } from '../../core/version.ts'
import { formatBytes, formatMs, parseDurationMs } from '../../core/units.ts'
import { flagOf, readConfig, settings } from '../../server/config.ts'
import { resolveServer } from '../../server/options.ts'
import { openSecurity } from '../../server/security.ts'
import { LogOutput, openLogger } from '../../server/log-output.ts'
import { openRepository, startServer } from '../../server/start-server.ts'
import { tuneV8 } from '../../server/tune-v8.ts'
import { note, print, style } from '../output.ts'
import type { Command } from 'commander'
import type { Logger } from '../../core/log.ts'
import type { ReadConfig } from '../../server/config.ts'
import type { ServerOptions } from '../../server/options.ts'
import type { RunningServer, StartServerOptions } from '../../server/start-server.ts'

/** Time for everything to close once the requests in flight are over. */
const CLOSE_MS = 3000

/** Flags that are given as durations. */
const DURATIONS = new Set(['shutdown.pauseMs', 'shutdown.graceMs'])

export function define(command: Command): void {
  command
    .argument('[paths...]', 'model files or folders; NAME=PATH gives a name. Default: $MODEL_PATH, or the models of the server file')
    .option('--name <name>', 'name of the model, where one path is given')
    .option('--config <file>', 'server file. Default: slipway.server.yaml, if there is one')
    .option('--model-root <folder...>', 'folders, beside those served, that a switch may take models from')
    .option('--endpoint <name...>', 'endpoints of the control plane to serve; default: all')
    .option('--dry-run', 'check models and configuration, then end without serving')
  addSettingFlags(command)
  command
    .addHelpText(
      'after',
      '\nExamples:\n  slipway serve model.onnx\n  slipway serve churn=models/churn digits=models/digits --port 9000\n  slipway serve models/ --versions all --isolation process',
    )
    .action(async (paths: string[], options: Record<string, unknown>) => serve(paths, options))
}

/** One flag for each scalar setting of the server file. */
export function addSettingFlags(command: Command): void {
  for (const [key, schema] of settings()) {
    const flag = flagOf(key)
    const value =
      schema.type === 'boolean'
        ? ''
        : ` <${schema.enum?.join('|') ?? (DURATIONS.has(key) ? 'duration' : schema.type === 'integer' || schema.type === 'number' ? 'n' : 'text')}>`
    command.option(`--${flag}${value}`, firstSentence(schema.description ?? ''))
  }
}

function firstSentence(description: string): string {
  return description.replace(/\.$/, '')
}

/** The flags that were given, by dotted key. */
export function flagValues(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const flags: Record<string, unknown> = {}
  for (const key of settings().keys()) {
    const name = flagOf(key).replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
    const value = options[name]
    if (value !== undefined) flags[key] = DURATIONS.has(key) ? parseDurationMs(String(value), `--${flagOf(key)}`) : value
  }
  return flags
}

/** Models of the server file and the command line; where neither names any, those of $MODEL_PATH, or of the platform. */
export function modelEntries(
  paths: readonly string[],
  name: string | undefined,
  fromFile: ServerOptions['models'],
  platform: ReadConfig['platform'] & { readonly empty: boolean },
): NonNullable<ServerOptions['models']> {
  const named = paths.map((path) => {
    const match = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)$/.exec(path)
    return match?.[1] !== undefined && match[2] !== undefined ? { name: match[1], path: match[2] } : { path }
  })
  if (name !== undefined) {
    const [only] = named
    if (named.length !== 1 || only === undefined)
      throw new SlipwayError('SLW_USAGE', `--name fits one path, ${named.length} are given; write NAME=PATH`)
    return [{ path: only.path, name }]
  }
  if (named.length > 0) return [...(fromFile ?? []), ...named]
  if (fromFile !== undefined && fromFile.length > 0) return fromFile
  const environment = process.env['MODEL_PATH']
  if (environment !== undefined && environment !== '') return [{ path: environment }]
  if (platform.models.length > 0 || platform.empty) return [...platform.models]
  if (platform.missing !== undefined) throw new SlipwayError('SLW_CONFIG_INVALID', platform.missing)
  throw new SlipwayError('SLW_USAGE', 'nothing to serve: name a model file or folder, e.g. slipway serve model.onnx')
}

async function serve(paths: readonly string[], options: Record<string, unknown>): Promise<void> {
  const { device } = options
  if (device !== undefined && device !== 'cpu')
    throw new SlipwayError('SLW_CONFIG_INVALID', `--device ${String(device)}: this release runs models on the CPU only`)
  const config = readConfig({
    flags: flagValues(options),
    environment: process.env,
    file: options['config'] as string | undefined,
    modelsNamed: paths.length > 0,
  })
  for (const warning of config.warnings) note(`warning: ${warning}`)
  const modelRoots = [...(config.options.modelRoots ?? []), ...((options['modelRoot'] as string[] | undefined) ?? [])]
  const endpoints = options['endpoint'] as string[] | undefined
  const controlPlane = endpoints === undefined ? config.options.controlPlane : { ...config.options.controlPlane, endpoints }
  const server = {
    ...config.options,
    modelRoots,
    ...(controlPlane !== undefined && { controlPlane }),
    models:
      controlPlane !== undefined && paths.length === 0
        ? (config.options.models ?? [])
        : modelEntries(paths, options['name'] as string | undefined, config.options.models, {
            ...config.platform,
            empty: /\bsagemaker-multi-model\b/.test(config.options.dialects ?? ''),
          }),
  }
  if (options['dryRun'] === true) {
    await dryRun(server)
    return
  }
  const { graceMs } = resolveServer(server).shutdown
  tuneV8({ memoryBudget: server.memoryBudgetMb !== undefined })
  // At a terminal only warnings are logged, except with --watch.
  const level = server.log?.level ?? (process.stderr.isTTY && server.watch !== true ? 'warn' : 'info')
  const output = new LogOutput(server.log?.file)
  const logger = openLogger(output, level)
  const start = { ...server, logger, logOutput: output }
  // SIGHUP is accepted while models load, which may take minutes with the port open; the reload follows afterwards.
  const { promise: started, resolve: hasStarted } = Promise.withResolvers<RunningServer>()
  process.on('SIGHUP', () => {
    started.then((ready) => ready.reload()).catch((error: unknown) => logger.error({}, `reload: ${messageOf(error)}`))
  })
  const stopped = listenForStop()
  const starting = server.processes !== undefined && server.processes > 1 ? startSeveral(start) : startServer(start)
  const running = await startedOrStopped(starting, stopped, { graceMs, logger })
  hasStarted(running)
  logger.info(
    { url: running.url, version: slipwayVersion(), node: process.version, pid: process.pid, failures: running.failures.length },
    'server started',
  )
  for (const failure of running.failures) note(`warning: not served: ${failure.message}`)
  print(await banner(running))
  // Node writes the compile cache at exit; a process that is killed, as in a container, would leave none for the next start.
  flushCompileCache()
  await stop(running, await stopped, logger)
}

/** The server once it has started; where a signal comes before that and the start takes longer than the grace, the process ends. */
async function startedOrStopped(
  starting: Promise<RunningServer>,
  stopped: Promise<string>,
  { graceMs, logger }: { readonly graceMs: number; readonly logger: Logger },
): Promise<RunningServer> {
  const first = await Promise.race([starting, stopped])
  if (typeof first !== 'string') return first
  logger.info({ signal: first }, 'server stops while it starts')
  note(`${first}: stopping while models load (at most ${formatMs(graceMs)}); again to end now`)
  const started = await orLate(
    systemClock,
    graceMs,
    starting.catch(() => undefined),
  )
  if (started === 'late') endProcess(1)
  return await starting
}

/** Loads the cluster module only where it is needed. */
async function startSeveral(options: StartServerOptions): Promise<RunningServer> {
  const { startCluster } = await import('../../server/cluster/primary.ts')
  return startCluster(options)
}

async function dryRun(server: ServerOptions): Promise<void> {
  const config = resolveServer(server)
  const logger = { ...silentLogger, warn: (_: object, message: string) => note(`warning: ${message}`) }
  using security = await openSecurity(config, process.env, logger)
  if (config.controlPlane !== undefined) {
    print(`ok  configuration for a server that follows ${config.controlPlane.url}`)
    return
  }
  const documents = (
    await openRepository(config, logger, { change: () => Promise.resolve({ failures: [], switches: Promise.resolve([]) }) })
  ).documents()
  const { readPackage } = await import('../../model/package.ts')
  const { buildSignature } = await import('../../signature/signature.ts')
  for (const document of documents) {
    for (const variant of document.spec.variants) {
      const model = await readPackage({ name: variant.model, version: variant.version, path: variant.path })
      buildSignature({ file: model.file, document: model.document, source: variant.path, text: model.text })
      print(`ok  ${document.metadata.name} version ${variant.version}  ${variant.path}`)
    }
  }
  print(`ok  configuration for http${security.certificates === undefined ? '' : 's'}://${config.host}:${config.port}`)
}

/** The text printed at start: the served models, the addresses, and one request that works. */
async function banner(server: RunningServer): Promise<string> {
  const lines: string[] = []
  const models = await server.served()
  for (const { endpoint, version, loadMs, inputs, outputs, runs } of models) {
    lines.push(`${style('bold', endpoint)} version ${version}  ready in ${formatMs(loadMs)}`)
    lines.push(`  in   ${inputs}`, `  out  ${outputs}`, `  run  ${runs}`)
  }
  const { cores, url, grpc, config } = server
  lines.push(...followingLines(server))
  lines.push(
    '',
    ...dialectLines(server),
    ...(grpc === undefined ? [] : [`gRPC     ${grpc}`]),
    `Docs     ${url}/docs`,
    `Health   ${url}/health   Metrics  ${url}/metrics`,
  )
  const processes = config.processes === 1 ? '' : `${config.processes} processes, `
  lines.push(
    style(
      'dim',
      `${cores.count} core${cores.count === 1 ? '' : 's'} (${cores.limitedBy}), ${processes}${formatBytes(process.memoryUsage.rss())} resident, ${config.controlPlane === undefined ? 'no state is kept on disk' : `versions are kept in ${config.controlPlane.store}`}. Ctrl-C stops.`,
    ),
  )
  const [first] = models
  const isAsked = config.dialects.some(({ name, port }) => name === 'predict' && port === undefined)
  if (first !== undefined && isAsked) lines.push('', 'Try it:', style('cyan', first.curl))
  return lines.join('\n')
}

/** Where each dialect is spoken. */
function dialectLines({ url, urls, config: { dialects } }: RunningServer): string[] {
  // Ports of dialects come last among those that the server listens on.
  const ports = [...new Set(dialects.flatMap(({ port }) => port ?? []))]
  const at = (port: number | undefined): string => (port === undefined ? url : urls.at(ports.indexOf(port) - ports.length)!)
  const own: Readonly<Record<string, string>> = { predict: 'Predict', v2: 'V2' }
  const others = Map.groupBy(
    dialects.filter(({ name }) => own[name] === undefined),
    ({ port }) => at(port),
  )
  return [
    ...['predict', 'v2'].flatMap((name) =>
      dialects.filter((dialect) => dialect.name === name).map(({ port }) => `${own[name]!.padEnd(9)}${at(port)}/${name}`),
    ),
    ...[...others].map(([place, some]) => `Speaks   ${some.map(({ name }) => name).join(', ')}  at ${place}`),
  ]
}

/** The followed control plane and endpoints, and the versions that failed with their reasons. */
function followingLines({ config: { controlPlane }, repository }: RunningServer): string[] {
  const status = repository.state().following
  if (controlPlane === undefined || status === undefined) return []
  const names = controlPlane.endpoints === 'all' ? 'all endpoints' : controlPlane.endpoints.join(', ')
  const lines = ['', `Follows  ${controlPlane.url} (${names})`]
  if (status.trouble !== undefined) lines.push(style('yellow', `         ${status.trouble}`))
  for (const { name, versions } of status.endpoints)
    for (const { version, state, reason } of versions)
      if (state === 'failed') lines.push(style('yellow', `         ${name} version ${version}: ${reason ?? state}`))
  if (status.endpoints.length === 0 && status.trouble === undefined)
    lines.push('         nothing is declared yet; declare something with: slipway deploy MODEL@ALIAS')
  return lines
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. Signals are handled from this call on. */
function listenForStop(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let stopping = false
  const onSignal = (signal: string): void => {
    if (stopping) endProcess(130)
    stopping = true
    resolve(signal)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return promise
}

async function stop(server: RunningServer, signal: string, log: Logger): Promise<void> {
  const { pauseMs, graceMs } = server.config.shutdown
  log.info({ signal, pauseMs, graceMs }, 'server stops: what is in flight is finished')
  // The pause is for orchestrators: at a terminal there is no load balancer.
  note(`${signal}: finishing what is in flight (pause ${formatMs(pauseMs)}, then at most ${formatMs(graceMs)}); again to end now`)
  const clean = await server.drain().catch((error: unknown) => {
    note(`warning: ${messageOf(error)}`)
    return false
  })
  if (!clean) note('warning: some requests did not finish in time')
  log.info({ clean }, 'server stopped')
  // What has not ended within its grace is not waited for.
  const closed = server.close().then(
    () => true,
    (error: unknown) => {
      note(`warning: ${messageOf(error)}`)
      return false
    },
  )
  const ended = await orLate(systemClock, CLOSE_MS, closed)
  if (ended !== true) log.warn({}, 'something does not close, and is given up with the process')
  endProcess(clean ? 0 : 1)
}
