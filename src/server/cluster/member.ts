import { NOTHING_COUNTED } from '../../serving/observe/merge.ts'
import { Channel } from './channel.ts'
import type { SendHandle } from 'node:child_process'
import type { Worker } from 'node:cluster'
import type { LiveEndpoint } from '../../serving/live.ts'
import type { ProcessCounts } from '../../serving/observe/merge.ts'
import type { SocketMessage } from './messages.ts'

/** Time limit for a process to report its counts; after that its last report is used. */
const METRICS_TIMEOUT_MS = 2000
/** Pause between two liveness checks of a process during a long call, and the limit of its silence. */
const ALIVE_EVERY_MS = 5000
const SILENT_MAX_MS = 120_000

/** One serving process, seen from the primary. */
export class Member {
  readonly channel: Channel
  /** When it had started; undefined before. */
  upMs: number | undefined
  /** State of its endpoints, as last reported. */
  live: readonly LiveEndpoint[] = []
  readonly #worker: Worker
  readonly #silentMaxMs: number
  /** Last report of its counts. */
  #counts: ProcessCounts = NOTHING_COUNTED

  readonly #ended = Promise.withResolvers<string>()

  /** @param silentMaxMs see `work`. Default: two minutes */
  constructor(worker: Worker, silentMaxMs: number = SILENT_MAX_MS) {
    this.#worker = worker
    this.#silentMaxMs = silentMaxMs
    this.channel = new Channel(worker)
    worker.once('exit', (code, signal) => this.#ended.resolve(signal ?? `code ${code}`))
    // Where the system gives no process there is no exit.
    worker.on('error', (error) => {
      if (this.pid === undefined) this.#ended.resolve(error.message)
    })
    void this.#ended.promise.then(() => this.channel.close())
  }

  /** Gives it sockets to accept from. They come before whatever is called after this. */
  lend(sockets: Iterable<readonly [key: string, socket: unknown]>): void {
    for (const [key, socket] of sockets) {
      const message: SocketMessage = { slipway: 'socket', key }
      this.#worker.process.send(message, socket as SendHandle, {}, () => {})
    }
  }

  get pid(): number | undefined {
    return this.#worker.process.pid
  }

  /** Ends a process that does not answer any more. Its end is reported as any other. */
  kill(): void {
    this.#worker.process.kill('SIGKILL')
  }

  onExit(tell: (how: string) => void): void {
    void this.#ended.promise.then(tell)
  }

  /**
   * A call without a time limit, such as the loading of many models, while the process shows that it is alive. A process
   * that is silent for `silentMaxMs` hangs, and is ended: no caller waits for it, and its successor gets the changes it missed.
   * @throws as `Channel.call`
   */
  async work<R>(method: string, argument?: unknown): Promise<R> {
    const answer = this.channel.call<R>(method, argument)
    const settled = answer.then(
      () => true,
      () => true,
    )
    while (!(await Promise.race([settled, laterFalse(Math.min(ALIVE_EVERY_MS, this.#silentMaxMs))]))) {
      const alive = this.channel.call('alive', undefined, this.#silentMaxMs).catch(() => this.kill())
      await Promise.race([settled, alive])
    }
    return answer
  }

  /** Counts of the process; where it is late or fails, those of its last report, so that no sum goes back. */
  async counts(): Promise<ProcessCounts> {
    try {
      this.#counts = await this.channel.call<ProcessCounts>('counts', undefined, METRICS_TIMEOUT_MS)
      return this.#counts
    } catch {
      return this.counted
    }
  }

  /** The counts of the last report that add up: all but gauges. */
  get counted(): ProcessCounts {
    const { observed, families } = this.#counts
    return { observed, families: families.filter((family) => family.info.type !== 'gauge') }
  }
}

function laterFalse(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms).unref())
}
