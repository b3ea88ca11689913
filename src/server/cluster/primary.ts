import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { backoffMs } from '../../core/backoff.ts'
import { usableCores } from '../../core/cores.ts'
import { entryUrl } from '../../core/entry.ts'
import { messageOf, toSlipwayError } from '../../core/errors.ts'
import { silentLogger } from '../../core/log.ts'
import { Lanes, Turns } from '../../core/turns.ts'
import { METRICS } from '../../serving/observe/catalog.ts'
import { liveTogether } from '../../serving/live.ts'
import { mergeCounts } from '../../serving/observe/merge.ts'
import { ProcessMetrics } from '../../serving/observe/process-metrics.ts'
import { administer } from '../administration.ts'
import { followingFamilies } from '../serving-process.ts'
import { reopenLog } from '../log-output.ts'
import { resolveServer } from '../options.ts'
import { openSecurity } from '../security.ts'
import { openSource } from '../start-server.ts'
import { fromWire } from './channel.ts'
import { EndedCounts } from './ended-counts.ts'
import { HeldSockets } from './held-sockets.ts'
import { Member } from './member.ts'
import type { ServingOptions } from '../../contract/serving-options.ts'
import type { DesiredEndpoint } from '../../contract/desired-endpoint.ts'
import type { Logger } from '../../core/log.ts'
import type { LiveEndpoint } from '../../serving/live.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { ProcessCounts } from '../../serving/observe/merge.ts'
import type { Applied, FailedLoad, SwitchReport } from '../../serving/reconciler.ts'
import type { AddModel } from '../../serving/repository/repository.ts'
import type { Source } from '../source.ts'
import type { ServerConfig } from '../options.ts'
import type { ServedModel } from '../served.ts'
import type { RunningServer, StartServerOptions } from '../start-server.ts'
import type {
  AppliedWire,
  EndedAnswer,
  FailedLoadWire,
  FeedbackCall,
  LiveCall,
  PrepareCall,
  PreparedCall,
  RouteCall,
  StartCall,
  StartedAnswer,
} from './messages.ts'

/** A process that worked this long is replaced at once when it ends. */
const RECOVERED_AFTER_MS = 10_000
/** Longest pause before a process is started again, and where no other is up. */
const PAUSE_MAX_MS = 10_000
const PAUSE_ALONE_MS = 1000
/** Time limit for calls that a process answers at once. */
const ANSWER_TIMEOUT_MS = 30_000
/** Time for a process, after its grace, to report that it has drained, and time for it to end. */
const DRAIN_MARGIN_MS = 2000
const CLOSE_TIMEOUT_MS = 10_000

/**
 * Starts a server of several processes. This one, the primary, answers no predictions: it owns the repository, the
 * administration and the memory budget, tells the others what to serve, and restarts those that end.
 * @throws as `startServer`
 */
export async function startCluster(options: StartServerOptions): Promise<RunningServer> {
  const { logger: log = silentLogger, logOutput, environment = process.env, ...given } = options
  const config = resolveServer(given)
  // Errors in keys and certificates are reported here, once.
  ;(await openSecurity(config, environment, log))[Symbol.dispose]()
  await using opened = new AsyncDisposableStack()
  const sockets = opened.use(await HeldSockets.open(config, log))
  const primary = opened.use(new Primary(sockets, log, environment))
  const repository = await openSource(sockets.config, log, environment, {
    change: (name, desired) => primary.change(name, desired),
    route: (desired) => primary.route(desired),
    live: () => primary.live(),
    watch: (changed) => primary.watch(changed),
    observed: async () => (await primary.counts()).observed,
  })
  const { url, urls, port, grpc } = await primary.start(repository)
  opened.defer(() => repository.close())
  const failures = await repository.begin({ url, port, anyReady: () => primary.anyReady() })
  const held = opened.move()
  return {
    url,
    urls,
    port,
    grpc,
    config: sockets.config,
    cores: usableCores(),
    repository,
    failures,
    served: () => primary.served(),
    drain: () => primary.drain(),
    async reload() {
      await primary.reload()
      reopenLog(logOutput, log)
      await repository.rescan(true)
    },
    close: () => held.disposeAsync(),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

class Primary implements AsyncDisposable {
  readonly #sockets: HeldSockets
  readonly #config: ServerConfig
  readonly #log: Logger
  readonly #environment: StartCall['environment']
  readonly #processMetrics = new ProcessMetrics()
  readonly #members = new Set<Member>()
  /** The desired state that the processes were given last, by endpoint. */
  readonly #documents = new Map<string, DesiredEndpoint>()
  /** The desired state that was asked for last, by endpoint: its routing is in force already. */
  readonly #latest = new Map<string, DesiredEndpoint>()
  readonly #watchers = new Set<() => void>()
  #repository: Source | undefined
  /** Changes, by endpoint. */
  readonly #changes = new Lanes()
  /** Starts of processes and reloads, one after the other. */
  readonly #starts = new Turns()
  /** Processes in a row that ended soon. */
  #consecutive = 0
  #restarts = 0
  /** Starts that are waited for. Their timers keep this process alive: for a time they may be all that it has. */
  readonly #planned = new Set<NodeJS.Timeout>()
  /** Counts of processes that have ended, as last reported: a counter never goes back. */
  readonly #ended = new EndedCounts()
  #closing = false

  constructor(sockets: HeldSockets, log: Logger, environment: StartCall['environment']) {
    this.#sockets = sockets
    this.#config = sockets.config
    this.#log = log
    this.#environment = environment
  }

  /** Starts all processes; they listen, and serve nothing yet. */
  async start(repository: Source): Promise<StartedAnswer> {
    this.#repository = repository
    cluster.setupPrimary({ exec: fileURLToPath(entryUrl('server/cluster/worker')), serialization: 'advanced', silent: false })
    // What one of them cannot do, all cannot: it is told once.
    const first = await this.#startMember()
    await Promise.all(Array.from({ length: this.#config.processes - 1 }, () => this.#startMember()))
    return first
  }

  /** @param documents what it serves before it listens; what has changed by then it catches up with */
  async #startMember(documents?: StartCall['documents']): Promise<StartedAnswer> {
    const member = new Member(cluster.fork())
    this.#members.add(member)
    member.lend(this.#sockets.entries())
    this.#serveCalls(member)
    member.onExit((how) => this.#onExit(member, how))
    const cores = Math.max(1, Math.floor(usableCores().count / this.#config.processes))
    const call: StartCall = {
      config: this.#config,
      logLevel: this.#log.level ?? 'info',
      cores,
      environment: this.#environment,
      documents,
    }
    try {
      const started = await member.work<StartedAnswer>('start', call)
      member.upMs = performance.now()
      // Routing may have changed while the process started.
      this.#route(member)
      this.#catchUp(member, documents ?? [])
      return started
    } catch (error) {
      // A process that serves nothing would be in the way of every change. Another is started after its end.
      member.kill()
      throw error
    }
  }

  /** Brings a process that has started to the state that the others came to meanwhile. */
  #catchUp(member: Member, documents: readonly DesiredEndpoint[]): void {
    const given = new Map(documents.map((document) => [document.metadata.name, document]))
    for (const name of new Set([...given.keys(), ...this.#documents.keys()]))
      if (!isDeepStrictEqual(given.get(name)?.spec, this.#documents.get(name)?.spec))
        void this.#changes.take(name, () => this.#bring(member, name))
  }

  /** Gives one process what the others have of an endpoint. */
  async #bring(member: Member, endpoint: string): Promise<void> {
    try {
      await member.work('prepare', { endpoint, desired: this.#desired(endpoint) } satisfies PrepareCall)
      await member.work('commit', { endpoint } satisfies PreparedCall)
    } catch (error) {
      if (this.#members.has(member))
        this.#log.error({ process: member.pid, endpoint }, `a serving process lags behind: ${messageOf(error)}`)
    }
  }

  /** What the processes were given of an endpoint, with the routing asked for since then where its variants are the same. */
  #desired(endpoint: string): DesiredEndpoint | undefined {
    const given = this.#documents.get(endpoint)
    const latest = this.#latest.get(endpoint)
    if (given === undefined || latest === undefined || !isDeepStrictEqual(latest.spec, given.spec)) return given
    const { routing, receiptKeys } = latest
    return { ...given, routing, ...(receiptKeys !== undefined && { receiptKeys }) }
  }

  #serveCalls(member: Member): void {
    const { channel } = member
    const administration = administer(this.#repository!, this.#log)
    channel.handle('admin.models', () => administration.models())
    channel.handle('admin.switchTo', ({ model, target }: { model: string; target: never }) => administration.switchTo(model, target))
    channel.handle('admin.add', ({ model }: { model: AddModel }) => administration.add(model))
    channel.handle('admin.remove', ({ model }: { model: string }) => administration.remove(model))
    channel.handle('admin.setServing', ({ model, serving }: { model: string; serving: ServingOptions }) =>
      administration.setServing(model, serving),
    )
    channel.handle('admin.load', ({ model }: { model: string }) => administration.load(model))
    channel.handle('admin.unload', ({ model }: { model: string }) => administration.unload(model))
    channel.handle('admin.logLevel', () => this.#log.level ?? 'info')
    channel.handle('admin.setLogLevel', ({ level }: { level: string }) => this.#setLogLevel(level))
    channel.handle('counts', () => this.counts())
    channel.handle('live', ({ endpoints }: LiveCall) => {
      member.live = endpoints
      this.#changed()
    })
    channel.handle('source', () => this.#repository?.state())
    channel.handle('feedback', ({ items }: FeedbackCall) => this.#repository?.takeFeedback?.(items))
  }

  async #setLogLevel(level: string): Promise<void> {
    this.#log.level = level
    await this.#askNow('setLogLevel', { level })
  }

  /**
   * Asks every process, and resolves when each has answered or failed; a process that ends meanwhile has no answer.
   * @throws the first error of a process that still runs
   */
  async #ask<R>(act: (member: Member) => Promise<R>, members: Iterable<Member> = this.#members): Promise<Map<Member, R>> {
    const answers = new Map<Member, R>()
    const errors: unknown[] = []
    await Promise.all(
      [...members].map(async (member) => {
        try {
          answers.set(member, await act(member))
        } catch (error) {
          if (this.#members.has(member)) errors.push(error)
        }
      }),
    )
    if (errors.length > 0) throw toSlipwayError(errors[0])
    return answers
  }

  /** A call to every process that is answered at once. */
  #askNow<R>(method: string, argument?: unknown): Promise<Map<Member, R>> {
    return this.#ask((member) => member.channel.call<R>(method, argument, ANSWER_TIMEOUT_MS))
  }

  /** Puts the desired routing in force in every process, also during a change. */
  route(documents: readonly DesiredEndpoint[]): void {
    for (const document of documents) this.#latest.set(document.metadata.name, document)
    for (const member of this.#members) this.#route(member, documents)
  }

  #route({ channel }: Member, documents: readonly DesiredEndpoint[] = [...this.#latest.values()]): void {
    // A process that has ended gets the routing with its restart.
    channel.call('route', { documents } satisfies RouteCall).catch(() => {})
  }

  /** State of the endpoints over all processes. */
  live(): LiveEndpoint[] {
    return liveTogether([...this.#members].map((member) => member.live))
  }

  watch(changed: () => void): void {
    this.#watchers.add(changed)
  }

  #changed(): void {
    for (const changed of this.#watchers) changed()
  }

  /** Resolves when every process has the change; an endpoint that one can load and another cannot changes in none. */
  change(endpoint: string, desired: DesiredEndpoint | undefined): Promise<Applied> {
    if (desired !== undefined) this.route([desired])
    return this.#changes.take(endpoint, async () => {
      const prepared = await this.#prepare({ endpoint, desired })
      const present = [...prepared.keys()].filter((member) => this.#members.has(member))
      const failures = [...prepared.values()].flat()
      if (failures.length > 0 && present.some((member) => prepared.get(member)!.length === 0)) {
        await this.#abort(endpoint, present)
        return { failures: distinct(failures), switches: Promise.resolve([]) }
      }
      // A process that is started from here on serves it.
      if (desired === undefined) this.#forget(endpoint)
      else this.#documents.set(endpoint, desired)
      const committed = await this.#ask((member) => member.work<AppliedWire>('commit', { endpoint } satisfies PreparedCall), present)
      // A process that came up meanwhile has not prepared it.
      for (const member of this.#up()) if (!prepared.has(member)) await this.#bring(member, endpoint)
      const switches = this.#replacedEnded(committed)
      switches.catch((error: unknown) => this.#log.error({}, `what was replaced did not end as it should: ${messageOf(error)}`))
      const all = [...committed.values()]
      return { failures: distinct([...failures, ...all.flatMap((applied) => applied.failures)]), switches }
    })
  }

  #forget(endpoint: string): void {
    this.#documents.delete(endpoint)
    this.#latest.delete(endpoint)
  }

  /** Processes that have started. */
  #up(): Member[] {
    return [...this.#members].filter(({ upMs }) => upMs !== undefined)
  }

  /** @throws the error of a process that could not even try; then all processes are as before */
  async #prepare(call: PrepareCall): Promise<Map<Member, readonly FailedLoadWire[]>> {
    const members = this.#up()
    try {
      return await this.#ask((member) => member.work<readonly FailedLoadWire[]>('prepare', call), members)
    } catch (error) {
      await this.#abort(call.endpoint, members)
      throw error
    }
  }

  async #abort(endpoint: string, members: readonly Member[]): Promise<void> {
    await this.#ask((member) => member.channel.call('abort', { endpoint } satisfies PreparedCall, ANSWER_TIMEOUT_MS), members).catch(
      (late: unknown) => this.#log.error({}, `a change that has failed could not be taken back everywhere: ${messageOf(late)}`),
    )
  }

  /** Waits until what a change has replaced has ended in every process. */
  async #replacedEnded(committed: ReadonlyMap<Member, AppliedWire>): Promise<readonly SwitchReport[]> {
    const present = [...committed.keys()].filter((member) => this.#members.has(member))
    const reports = await this.#ask((member) => member.work<EndedAnswer>('ended', { change: committed.get(member)!.change }), present)
    return slowest([...reports.values()].flat())
  }

  #onExit(member: Member, how: string): void {
    this.#members.delete(member)
    if (this.#closing) return
    this.#changed()
    this.#ended.add(member.counted, performance.now())
    this.#restarts++
    if (member.upMs !== undefined && performance.now() - member.upMs > RECOVERED_AFTER_MS) this.#consecutive = 0
    const pauseMs = this.#pauseMs()
    this.#log.error({ process: member.pid, how, retryMs: pauseMs }, 'a serving process ended and is started again')
    this.#plan(pauseMs)
  }

  /** None after a process that worked for a while; then 1 s, doubling. Where nobody serves there is no long pause. */
  #pauseMs(): number {
    const failures = this.#consecutive++
    const served = [...this.#members].some((member) => member.upMs !== undefined)
    return failures === 0 ? 0 : Math.min(backoffMs(failures - 1), served ? PAUSE_MAX_MS : PAUSE_ALONE_MS)
  }

  #plan(pauseMs: number): void {
    const timer = setTimeout(() => void this.#restart(timer), pauseMs)
    this.#planned.add(timer)
  }

  async #restart(planned: NodeJS.Timeout): Promise<void> {
    try {
      await this.#starts.take(async () => {
        // Until here it counts as planned, so that no other is planned for it.
        this.#planned.delete(planned)
        if (!this.#closing) await this.#startMember([...this.#documents.keys()].map((name) => this.#desired(name)!))
      })
    } catch (error) {
      this.#log.error({}, `a serving process could not be started: ${messageOf(error)}`)
      // A process that began and failed is replaced when it has ended; this is for one that never was.
      if (!this.#closing && this.#members.size + this.#planned.size < this.#config.processes) this.#plan(this.#pauseMs())
    }
  }

  /** Starts no more processes. */
  #stop(): void {
    this.#closing = true
    for (const timer of this.#planned) clearTimeout(timer)
  }

  async anyReady(): Promise<boolean> {
    return [...(await this.#askNow<boolean>('anyReady')).values()].some(Boolean)
  }

  async served(): Promise<readonly ServedModel[]> {
    const told = await this.#askNow<readonly ServedModel[]>('served')
    return [...told.values()].find((models) => models.length > 0) ?? []
  }

  /** Counts of all processes, the primary among them. */
  async counts(): Promise<ProcessCounts> {
    // A process that ends meanwhile is counted in `#ended`.
    const told = await Promise.all([...this.#members].map(async (member) => [member, await member.counts()] as const))
    const answers = told.filter(([member]) => this.#members.has(member)).map(([, counts]) => counts)
    const own: Family[] = [
      ...this.#processMetrics.families(),
      ...followingFamilies(this.#repository?.state().following),
      { name: 'slipway_processes', info: METRICS.slipway_processes, samples: [{ labels: {}, value: this.#members.size }] },
      {
        name: 'slipway_process_restarts_total',
        info: METRICS.slipway_process_restarts_total,
        samples: [{ labels: {}, value: this.#restarts }],
      },
    ]
    return mergeCounts([...answers, this.#ended.counts(this.live(), performance.now()), { observed: [], families: own }])
  }

  /** Reloads keys, tokens, certificates and log of every process, also of one that is just being started. */
  async reload(): Promise<void> {
    const ask = async (): Promise<void> => {
      const told = this.#ask((member) => member.channel.call('reload', undefined, ANSWER_TIMEOUT_MS), this.#up())
      await told.catch((error: unknown) => this.#log.error({}, `reload: ${messageOf(error)}`))
    }
    await ask()
    if (this.#up().length < this.#members.size) await this.#starts.take(ask)
  }

  async drain(): Promise<boolean> {
    this.#stop()
    const { pauseMs, graceMs } = this.#config.shutdown
    // The processes accept until then: after that nobody is to wait for one.
    const unbind = setTimeout(() => this.#sockets[Symbol.dispose](), pauseMs)
    const clean = await this.#ask(async (member) => {
      try {
        return await member.channel.call<boolean>('drain', undefined, pauseMs + graceMs + DRAIN_MARGIN_MS)
      } catch (error) {
        this.#log.warn({ process: member.pid }, messageOf(error))
        member.kill()
        return false
      }
    })
    clearTimeout(unbind)
    this.#sockets[Symbol.dispose]()
    return [...clean.values()].every(Boolean)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop()
    this.#processMetrics.close()
    const gone = [...this.#members].map((member) => new Promise<void>((resolve) => member.onExit(() => resolve())))
    const timer = setTimeout(() => {
      for (const member of this.#members) member.kill()
    }, CLOSE_TIMEOUT_MS)
    await this.#ask((member) => member.channel.call('close')).catch((error: unknown) => this.#log.warn({}, messageOf(error)))
    await Promise.all(gone)
    clearTimeout(timer)
  }
}

/** Takes equal failures of several processes as one. */
function distinct(failures: readonly FailedLoadWire[]): FailedLoad[] {
  const bySpec = new Map(failures.map((failure) => [`${failure.endpoint}\0${JSON.stringify(failure.spec)}`, failure]))
  return [...bySpec.values()].map(({ error, ...failure }) => ({ ...failure, error: fromWire(error) }))
}

/** One report per endpoint, with the longest times of all processes. */
function slowest(reports: readonly SwitchReport[]): SwitchReport[] {
  const byEndpoint = new Map<string, SwitchReport>()
  for (const report of reports) {
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
