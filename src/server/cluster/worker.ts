/** Entry of a serving process, one of several of a server: it serves what the primary says. */
import { NOTHING_COUNTED } from '../../serving/observe/merge.ts'
import { orLate, systemClock } from '../../core/clock.ts'
import { endProcess } from '../../engine/end-process.ts'
import { openServingProcess } from '../serving-process.ts'
import { LogOutput, openLogger, reopenLog } from '../log-output.ts'
import { openSecurity } from '../security.ts'
import { tuneV8 } from '../tune-v8.ts'
import { budgetBytes } from '../start-server.ts'
import { Channel, toWire } from './channel.ts'
import { describeServed } from '../served.ts'
import type { Logger } from '../../core/log.ts'
import type { SourceState } from '../source.ts'
import type { Administration } from '../../protocol/http/admin.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { ProcessCounts } from '../../serving/observe/merge.ts'
import type { Change, SwitchReport } from '../../serving/reconciler.ts'
import type { ServingProcess } from '../serving-process.ts'
import type {
  AppliedWire,
  EndedAnswer,
  EndedCall,
  FeedbackCall,
  LiveCall,
  PrepareCall,
  PreparedCall,
  RouteCall,
  SocketMessage,
  StartCall,
  StartedAnswer,
} from './messages.ts'

/** Time limit for the state of the source: health is answered soon, also where the primary does not answer. */
const SOURCE_LIMIT_MS = 300
/** How long a process that replaces another waits for its models; those that take longer come into service later. */
const START_WAIT_MS = 30_000

const channel = new Channel(process)
// A terminal sends Ctrl-C to the whole group; the primary drains first and ends this process itself.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('SIGHUP', () => {})
// Without the primary there is no desired state.
process.on('disconnect', () => endProcess(0))

let serving: ServingProcess | undefined
/** Whether callers need an API key. */
let keyed = false
/** Changes that are being prepared or are prepared, by endpoint; `commit` or `abort` ends one, also before it is prepared. */
const prepared = new Map<string, Promise<Change>>()
/** Sockets of the primary, by address; they come before the start. */
const held = new Map<string, unknown>()
process.on('message', (message: SocketMessage, socket: unknown) => {
  if (message.slipway === 'socket') held.set(message.key, socket)
})
/** Reports of what committed changes replaced, by number of the change, until the primary has asked for them. */
const ending = new Map<number, Promise<readonly SwitchReport[]>>()
let changes = 0

function running(): ServingProcess {
  if (serving === undefined) throw new Error('the process has not been started')
  return serving
}

/** Administration is the primary's: calls are passed on to it. */
function remoteAdministration(): Administration {
  return {
    models: () => channel.call('admin.models'),
    switchTo: (model, target) => channel.call('admin.switchTo', { model, target }),
    load: (model) => channel.call('admin.load', { model }),
    add: (model) => channel.call('admin.add', { model }),
    remove: (model) => channel.call('admin.remove', { model }),
    setServing: (model, options) => channel.call('admin.setServing', { model, serving: options }),
    unload: (model) => channel.call('admin.unload', { model }),
    logLevel: () => channel.call('admin.logLevel'),
    setLogLevel: (level) => channel.call('admin.setLogLevel', { level }),
  }
}

/** The counts of all processes; when the primary cannot answer, those of this one. */
async function allCounts(): Promise<ProcessCounts> {
  return channel.call<ProcessCounts>('counts').catch(() => running().counts())
}

/** State of the source of models, which the primary has; undefined when the primary does not answer in time. */
async function sourceState(): Promise<SourceState | undefined> {
  return await channel.call<SourceState | undefined>('source', undefined, SOURCE_LIMIT_MS).catch(() => undefined)
}

let log: Logger | undefined

channel.handle('start', async ({ config, logLevel, cores, environment, documents }: StartCall): Promise<StartedAnswer> => {
  tuneV8({ memoryBudget: config.memoryBudgetMb !== undefined })
  const output = new LogOutput(config.log.file)
  log = openLogger(output, logLevel, { process: process.pid })
  const security = await openSecurity(config, environment, log)
  keyed = security.keys !== undefined
  serving = await openServingProcess({
    config,
    security,
    log,
    cores,
    memoryBudgetBytes: budgetBytes(config, config.processes),
    administration: remoteAdministration(),
    allCounts,
    sourceHealth: sourceState,
    ...(config.controlPlane !== undefined && { takeFeedback: (items) => channel.call('feedback', { items } satisfies FeedbackCall) }),
    logOutput: output,
    environment,
    held,
    ...(documents !== undefined && { beforeListening: (dataPlane) => orLate(systemClock, START_WAIT_MS, dataPlane.apply(documents)) }),
  })
  const { dataPlane } = serving
  dataPlane.watch(() => tellLive(dataPlane))
  tellLive(dataPlane)
  channel.handle('reload', async () => {
    const failures = await security.reload()
    if (log !== undefined) reopenLog(output, log)
    return failures.map(toWire)
  })
  return { port: serving.http.port, url: serving.http.url, urls: serving.http.urls, grpc: serving.grpc?.target }
})

/** Reports the state of the endpoints to the primary, once for all changes of one turn of the event loop. */
let telling = false
function tellLive(dataPlane: DataPlane): void {
  if (telling) return
  telling = true
  setImmediate(() => {
    telling = false
    const call: LiveCall = { endpoints: dataPlane.live() }
    channel.call('live', call).catch(() => {})
  })
}

// A process that is still starting gets the routing once it has started.
channel.handle('route', ({ documents }: RouteCall) => serving?.dataPlane.route(documents))
channel.handle('prepare', async ({ endpoint, desired }: PrepareCall) => {
  const change = running().dataPlane.prepare(endpoint, desired)
  prepared.set(endpoint, change)
  const { failures } = await change
  return failures.map(({ error, ...failure }) => ({ ...failure, error: toWire(error) }))
})
channel.handle('commit', async ({ endpoint }: PreparedCall): Promise<AppliedWire> => {
  const applied = await (await taken(endpoint))?.commit()
  const number = ++changes
  if (applied !== undefined) ending.set(number, applied.switches)
  const failures = applied?.failures ?? []
  return { change: number, failures: failures.map(({ error, ...failure }) => ({ ...failure, error: toWire(error) })) }
})
channel.handle('abort', async ({ endpoint }: PreparedCall) => {
  await (await taken(endpoint)?.catch(() => undefined))?.abort()
})
function taken(endpoint: string): Promise<Change> | undefined {
  const change = prepared.get(endpoint)
  prepared.delete(endpoint)
  return change
}
channel.handle('ended', async ({ change: number }: EndedCall): Promise<EndedAnswer> => {
  const switches = ending.get(number)
  ending.delete(number)
  return (await switches) ?? []
})
channel.handle('alive', () => true)
channel.handle('counts', () => serving?.counts() ?? NOTHING_COUNTED)
channel.handle('served', () => (serving === undefined ? [] : describeServed(serving.dataPlane, serving.http.url, keyed)))
channel.handle('anyReady', () => [...(serving?.dataPlane.variants() ?? [])].some((variant) => variant.ready))
channel.handle('setLogLevel', ({ level }: { level: string }) => {
  if (log !== undefined) log.level = level
})
// A process that is still starting has accepted no request.
channel.handle('drain', () => serving?.drain() ?? true)
channel.handle('close', async () => {
  await serving?.[Symbol.asyncDispose]()
  // The answer goes out first.
  setImmediate(() => endProcess(0))
})
