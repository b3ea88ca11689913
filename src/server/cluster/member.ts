import { NOTHING_COUNTED } from '../../serving/observe/merge.ts'
import { Channel } from './channel.ts'
import type { Worker } from 'node:cluster'
import type { LiveEndpoint } from '../../serving/live.ts'
import type { ProcessCounts } from '../../serving/observe/merge.ts'

/** How long a process may take to tell its metrics before what it told last is taken. */
const METRICS_TIMEOUT_MS = 2000
/** How often a process that works at something long is asked whether it is alive, and how long it may be silent then. */
const ALIVE_EVERY_MS = 5000
const SILENT_MAX_MS = 120_000

/** One serving process, seen from the primary. */
export class Member {
  readonly channel: Channel
  readonly startedMs: number = performance.now()
  /** What is true of its endpoints, as it told last. */
  live: readonly LiveEndpoint[] = []
  readonly #worker: Worker
  readonly #silentMaxMs: number
  /** What it told of its counts last. */
  #counts: ProcessCounts = NOTHING_COUNTED

  /** @param silentMaxMs as `work` says. Default: two minutes */
  constructor(worker: Worker, silentMaxMs: number = SILENT_MAX_MS) {
    this.#worker = worker
    this.#silentMaxMs = silentMaxMs
    this.channel = new Channel(worker)
    worker.once('exit', () => this.channel.close())
  }

  get pid(): number | undefined {
    return this.#worker.process.pid
  }

  /** Of one that answers no more. Its end is told as any other. */
  kill(): void {
    this.#worker.process.kill('SIGKILL')
  }

  onExit(tell: (how: string) => void): void {
    this.#worker.once('exit', (code, signal) => tell(signal ?? `code ${code}`))
  }

  /**
   * A call that may take as long as it takes, such as the loading of many models, while the process shows that it is alive.
   * One that is silent for `silentMaxMs` hangs, and is ended: nobody waits for it, and its successor gets what it missed.
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

  /** What it counts; of one that is late or fails, what it told last, so that no sum goes back. */
  async counts(): Promise<ProcessCounts> {
    try {
      this.#counts = await this.channel.call<ProcessCounts>('counts', undefined, METRICS_TIMEOUT_MS)
      return this.#counts
    } catch {
      return this.counted
    }
  }

  /** What adds up, as last told. */
  get counted(): ProcessCounts {
    const { observed, families } = this.#counts
    return { observed, families: families.filter((family) => family.info.type !== 'gauge') }
  }
}

function laterFalse(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms).unref())
}
