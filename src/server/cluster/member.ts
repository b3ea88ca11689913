import { Channel } from './channel.ts'
import type { Worker } from 'node:cluster'
import type { Family } from '../../serving/observe/exposition.ts'

/** How long a process may take to tell its metrics before what it told last is taken. */
const METRICS_TIMEOUT_MS = 2000
/** How often a process that works at something long is asked whether it is alive, and how long it may be silent then. */
const ALIVE_EVERY_MS = 5000
const SILENT_MAX_MS = 120_000

/** One serving process, seen from the primary. */
export class Member {
  readonly channel: Channel
  readonly startedMs: number = performance.now()
  readonly #worker: Worker
  readonly #silentMaxMs: number
  /** What it told of its metrics last. */
  #families: readonly Family[] = []

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

  /** Its metrics; of one that is late or fails, the counters that it told last, so that no sum goes back. */
  async families(): Promise<readonly Family[]> {
    try {
      this.#families = await this.channel.call<readonly Family[]>('families', undefined, METRICS_TIMEOUT_MS)
      return this.#families
    } catch {
      return this.counted
    }
  }

  /** Counters and histograms, as last told. */
  get counted(): Family[] {
    return this.#families.filter((family) => family.info.type !== 'gauge')
  }
}

function laterFalse(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms).unref())
}
