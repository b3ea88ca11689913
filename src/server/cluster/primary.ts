import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { usableCores } from '../../core/cores.ts'
import { entryUrl } from '../../core/entry.ts'
import { messageOf, toSlipwayError } from '../../core/errors.ts'
import { silentLogger } from '../../core/log.ts'
import { METRICS } from '../../serving/observe/catalog.ts'
import { mergeFamilies } from '../../serving/observe/merge.ts'
import { ProcessMetrics } from '../../serving/observe/process-metrics.ts'
import { administer } from '../administration.ts'
import { resolveServer } from '../options.ts'
import { openSecurity } from '../security.ts'
import { openRepository } from '../start-server.ts'
import { Channel, fromWire } from './channel.ts'
import type { Worker } from 'node:cluster'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { Logger } from '../../core/log.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { Applied, FailedLoad, SwitchReport } from '../../serving/reconciler.ts'
import type { Repository } from '../../serving/repository/repository.ts'
import type { ServerConfig } from '../options.ts'
import type { ServedModel } from '../served.ts'
import type { RunningServer, StartServerOptions } from '../start-server.ts'
import type { AppliedWire, FailedLoadWire, StartCall, StartedAnswer } from './messages.ts'

const BACKOFF_FIRST_MS = 1000
const BACKOFF_MAX_MS = 300_000
/** A process that worked this long has recovered. */
const RECOVERED_AFTER_MS = 60_000
/** How long a process may take to tell its metrics before the others are told without it. */
const METRICS_TIMEOUT_MS = 2000

/** One serving process, seen from the primary. */
interface Member {
  readonly worker: Worker
  readonly channel: Channel
  readonly startedMs: number
  /** What it told of its metrics last. */
  families: readonly Family[]
}

/**
 * Starts a server of several processes. This one, the primary, answers no predictions: it owns the repository, the
 * administration and the memory budget, tells the others what to serve, and starts again those that end.
 * @throws as `startServer`
 */
export async function startCluster(options: StartServerOptions): Promise<RunningServer> {
  const { logger: log = silentLogger, logOutput, environment = process.env, ...given } = options
  const config = resolveServer(given)
  // What is wrong with keys and certificates is told here, once.
  ;(await openSecurity(config, environment, log))[Symbol.dispose]()
  await using opened = new AsyncDisposableStack()
  const primary = opened.use(new Primary(config, log, environment))
  const repository = await openRepository(config, log, { apply: (desired) => primary.apply(desired) })
  const { url, urls, port } = await primary.start(repository)
  opened.defer(() => repository.close())
  const failures = (await repository.start()).map((failed) => failed.error)
  const [failure] = failures
  if (failure !== undefined && !(await primary.anyReady())) throw failure
  if (config.pollMs > 0) repository.poll(config.pollMs)
  const held = opened.move()
  return {
    url,
    urls,
    port,
    config,
    cores: usableCores(),
    repository,
    failures,
    served: () => primary.served(),
    drain: () => primary.drain(),
    async reload() {
      logOutput?.reopen()
      await primary.reload(repository)
    },
    close: () => held.disposeAsync(),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

class Primary implements AsyncDisposable {
  readonly #config: ServerConfig
  readonly #log: Logger
  readonly #environment: StartCall['environment']
  readonly #processMetrics = new ProcessMetrics()
  readonly #members = new Set<Member>()
  #documents: readonly EndpointDocument[] = []
  #repository: Repository | undefined
  /** Changes and starts of processes, one after the other: a new process gets a state that no change is in the middle of. */
  #last: Promise<unknown> = Promise.resolve()
  #consecutive = 0
  #restarts = 0
  /** Counters and histograms of processes that have ended, as last told: a counter never goes back. */
  #ended: Family[] = []
  #closing = false

  constructor(config: ServerConfig, log: Logger, environment: StartCall['environment']) {
    this.#config = config
    this.#log = log
    this.#environment = environment
  }

  /** Starts all processes; they listen, and serve nothing yet. */
  async start(repository: Repository): Promise<StartedAnswer> {
    this.#repository = repository
    // All processes accept from one socket. Handed out by the primary, a connection on its way to a process that has just
    // ended would never be answered and never be closed.
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({ exec: fileURLToPath(entryUrl('server/cluster/worker')), serialization: 'advanced', silent: false })
    // The first one finds a port where none was chosen; the others take the same.
    const first = await this.#startMember()
    await Promise.all(Array.from({ length: this.#config.processes - 1 }, () => this.#startMember()))
    return first
  }

  async #startMember(documents?: StartCall['documents']): Promise<StartedAnswer> {
    const worker = cluster.fork()
    const channel = new Channel(worker)
    const member: Member = { worker, channel, startedMs: performance.now(), families: [] }
    this.#members.add(member)
    this.#serveCalls(channel)
    worker.once('exit', (code, signal) => this.#onExit(member, signal ?? `code ${code}`))
    const cores = Math.max(1, Math.floor(usableCores().count / this.#config.processes))
    const call: StartCall = {
      config: this.#config,
      logLevel: this.#log.level ?? 'info',
      cores,
      environment: this.#environment,
      documents,
    }
    return channel.call<StartedAnswer>('start', call)
  }

  #serveCalls(channel: Channel): void {
    const administration = administer(this.#repository!, this.#log)
    channel.handle('admin.models', () => administration.models())
    channel.handle('admin.switchTo', ({ model, target }: { model: string; target: never }) => administration.switchTo(model, target))
    channel.handle('admin.load', ({ model }: { model: string }) => administration.load(model))
    channel.handle('admin.unload', ({ model }: { model: string }) => administration.unload(model))
    channel.handle('admin.logLevel', () => this.#log.level ?? 'info')
    channel.handle('admin.setLogLevel', ({ level }: { level: string }) => this.#setLogLevel(level))
    channel.handle('metrics', () => this.families())
  }

  async #setLogLevel(level: string): Promise<void> {
    this.#log.level = level
    await this.#ask('setLogLevel', { level })
  }

  /** Asks every process; one that ends meanwhile has no answer. */
  async #ask<R>(method: string, argument?: unknown, members: Iterable<Member> = this.#members): Promise<Map<Member, R>> {
    const answers = new Map<Member, R>()
    await Promise.all(
      [...members].map(async (member) => {
        try {
          answers.set(member, await member.channel.call<R>(method, argument))
        } catch (error) {
          if (this.#members.has(member)) throw error
        }
      }),
    )
    return answers
  }

  /** Answers when every process has the change; where one cannot load what another can, none takes it. */
  apply(documents: readonly EndpointDocument[]): Promise<Applied> {
    return this.#exclusive(async () => {
      this.#documents = documents
      return this.#applyTo([...this.#members], documents)
    })
  }

  async #applyTo(members: readonly Member[], documents: readonly EndpointDocument[]): Promise<Applied> {
    const prepared = await this.#ask<readonly FailedLoadWire[]>('prepare', { documents }, members)
    const present = [...prepared.keys()].filter((member) => this.#members.has(member))
    const failures = [...prepared.values()].flat()
    const names = new Set(failures.map((failure) => failure.endpoint))
    const everywhere = (name: string): boolean =>
      present.every((member) => prepared.get(member)?.some((failure) => failure.endpoint === name))
    const except = [...names].filter((name) => !everywhere(name))
    const committed = await this.#ask<AppliedWire>('commit', { except }, present)
    const all = [...committed.values()]
    return { failures: distinct([...failures, ...all.flatMap((applied) => applied.failures)]), switches: slowest(all) }
  }

  #exclusive<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(act)
    this.#last = turn.catch(() => {})
    return turn
  }

  #onExit(member: Member, how: string): void {
    this.#members.delete(member)
    member.channel.close()
    if (this.#closing) return
    this.#ended = mergeFamilies([this.#ended, member.families.filter((family) => family.info.type !== 'gauge')])
    this.#restarts++
    if (performance.now() - member.startedMs > RECOVERED_AFTER_MS) this.#consecutive = 0
    const delayMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#consecutive++)
    this.#log.error({ process: member.worker.process.pid, how, retryMs: delayMs }, 'a serving process ended and is started again')
    setTimeout(() => void this.#restart(), delayMs).unref()
  }

  async #restart(): Promise<void> {
    if (this.#closing) return
    try {
      await this.#exclusive(() => this.#startMember(this.#documents))
    } catch (error) {
      this.#log.error({}, `a serving process could not be started: ${messageOf(error)}`)
    }
  }

  async anyReady(): Promise<boolean> {
    return [...(await this.#ask<boolean>('anyReady')).values()].some(Boolean)
  }

  async served(): Promise<readonly ServedModel[]> {
    const told = await this.#ask<readonly ServedModel[]>('served')
    return [...told.values()].find((models) => models.length > 0) ?? []
  }

  /** Of all processes, this one among them. */
  async families(): Promise<Family[]> {
    const answers = await Promise.all(
      [...this.#members].map((member) => {
        const { promise: late, resolve } = Promise.withResolvers<readonly Family[]>()
        const timer = setTimeout(() => resolve([]), METRICS_TIMEOUT_MS)
        const told = member.channel.call<readonly Family[]>('families').then((families) => (member.families = families))
        return Promise.race([told.catch(() => []), late]).finally(() => clearTimeout(timer))
      }),
    )
    const own: Family[] = [
      ...this.#processMetrics.families(),
      { name: 'slipway_processes', info: METRICS.slipway_processes, samples: [{ labels: {}, value: this.#members.size }] },
      {
        name: 'slipway_process_restarts_total',
        info: METRICS.slipway_process_restarts_total,
        samples: [{ labels: {}, value: this.#restarts }],
      },
    ]
    return mergeFamilies([...answers, this.#ended, own])
  }

  async reload(repository: Repository): Promise<void> {
    await this.#ask('reload')
    await repository.rescan(true)
  }

  async drain(): Promise<boolean> {
    this.#closing = true
    const clean = await this.#ask<boolean>('drain')
    return [...clean.values()].every(Boolean)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    this.#processMetrics.close()
    const gone = [...this.#members].map(
      (member) => new Promise<void>((resolve) => (member.worker.isDead() ? resolve() : member.worker.once('exit', () => resolve()))),
    )
    await this.#ask('close').catch((error: unknown) => this.#log.warn({}, toSlipwayError(error).message))
    const timer = setTimeout(() => {
      for (const { worker } of this.#members) worker.process.kill('SIGKILL')
    }, 10_000)
    await Promise.all(gone)
    clearTimeout(timer)
  }
}

/** The same failure in every process is one failure. */
function distinct(failures: readonly FailedLoadWire[]): FailedLoad[] {
  const bySpec = new Map(failures.map((failure) => [`${failure.endpoint}\0${JSON.stringify(failure.spec)}`, failure]))
  return [...bySpec.values()].map(({ error, ...failure }) => ({ ...failure, error: fromWire(error) }))
}

/** A change has taken as long as it took where it took longest. */
function slowest(all: readonly AppliedWire[]): SwitchReport[] {
  const byEndpoint = new Map<string, SwitchReport>()
  for (const report of all.flatMap((applied) => applied.switches)) {
    const other = byEndpoint.get(report.endpoint)
    byEndpoint.set(report.endpoint, {
      ...report,
      loadMs: Math.max(report.loadMs, other?.loadMs ?? 0),
      warmUpMs: Math.max(report.warmUpMs, other?.warmUpMs ?? 0),
      switchMs: Math.max(report.switchMs, other?.switchMs ?? 0),
      drainMs: Math.max(report.drainMs, other?.drainMs ?? 0),
    })
  }
  return [...byEndpoint.values()]
}
