import { backoffMs } from '../core/backoff.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { Renewal } from './renewal.ts'
import { tensorsBytes } from '../tensor/tensor.ts'
import type { Clock } from '../core/clock.ts'
import type { Instance, InstanceEnd, RunResult } from './instance.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** An instance that worked this long has recovered: the next failure backs off from the start again. */
const RECOVERED_AFTER_MS = 60_000

/**
 * - `starting`: the first load goes on.
 * - `ready`: can run.
 * - `backing off`: ended by itself; waits before the next attempt, 1 s doubling to 5 min.
 * - `restarting`: the next attempt goes on.
 * - `closed`: ended on purpose.
 */
export type SlotState = 'starting' | 'ready' | 'backing off' | 'restarting' | 'closed'

export interface SlotOptions {
  readonly name: string
  /** Opens and warms an instance; `gently` beside the one that serves, which it is to replace. */
  readonly open: (how: { readonly gently: boolean }) => Promise<Instance>
  readonly clock: Clock
  /** Called whenever the slot may have become able to run. */
  readonly onAvailable: () => void
  /** Called when another instance has taken the place of one that ended. */
  readonly onRecovered?: () => void
  /** Called when the instance was opened anew to give memory back. @param heldBytes what large runs had left in it */
  readonly onRenewed?: (heldBytes: number) => void
  /** Called once for each time that an instance ends by itself. */
  readonly onFailure: (end: InstanceEnd) => void
}

export interface SlotStatus {
  readonly name: string
  readonly state: SlotState
  readonly failures: number
  readonly timeouts: number
  readonly lastFailure: { readonly at: string; readonly reason: string; readonly message: string } | undefined
  readonly retryAt: string | undefined
  readonly memoryBytes: number | undefined
}

/** Keeps one instance running, and replaces it when it ends or holds far more memory than it needs. One state machine. */
export class InstanceSlot {
  readonly #options: SlotOptions
  #state: SlotState = 'starting'
  #instance: Instance | undefined
  #failures = 0
  #timeouts = 0
  #consecutive = 0
  #readySince = 0
  #retryAtMs: number | undefined
  #lastFailure: { at: string; reason: string; message: string } | undefined
  #cancelRetry: (() => void) | undefined
  #running = false
  readonly #renewal: Renewal
  /** Opened to take the place of the instance as soon as that does not run. */
  #successor: Instance | undefined

  constructor(options: SlotOptions) {
    this.#options = options
    this.#renewal = new Renewal(options.clock, (heldBytes) => void this.#renew(heldBytes))
  }

  /** The first load. @throws what the model or the runtime says; there is no second attempt */
  async start(): Promise<void> {
    await this.#adopt(await this.#options.open({ gently: false }))
  }

  get state(): SlotState {
    return this.#state
  }

  get failures(): number {
    return this.#failures
  }

  /** Ready, and not running anything. */
  get available(): boolean {
    return this.#state === 'ready' && !this.#running
  }

  /** See `Instance.serve`. */
  serve(): void {
    this.#instance?.serve?.()
  }

  /** See `Instance.poll`. */
  poll(): void {
    this.#instance?.poll?.()
  }

  get running(): boolean {
    return this.#running
  }

  async #adopt(instance: Instance): Promise<void> {
    if (this.#state === 'closed') {
      await instance.close()
      return
    }
    this.#install(instance)
    this.#state = 'ready'
    this.#readySince = this.#options.clock.monotonicMs()
    this.#retryAtMs = undefined
    this.#options.onAvailable()
  }

  #install(instance: Instance): void {
    this.#instance = instance
    this.#renewal.opened(instance.memoryBytes() ?? 0)
    void instance.ended.then((end) => {
      if (this.#instance === instance) this.#onEnd(end)
    })
  }

  /** Opens another instance beside the one that serves and lets it take over between two runs; where that fails, all stays as it is. */
  async #renew(heldBytes: number): Promise<void> {
    const old = this.#instance
    if (old === undefined) return
    let successor: Instance
    try {
      successor = await this.#options.open({ gently: true })
    } catch {
      // The files may have changed, or memory be short; a version goes on as it was loaded.
      if (this.#instance === old && this.#state === 'ready') this.#renewal.putOff()
      return
    }
    if (this.#instance !== old || this.#state !== 'ready') return successor.close()
    this.#successor = successor
    if (!this.#running) await this.#succeed()
    this.#options.onRenewed?.(heldBytes)
  }

  async #succeed(): Promise<void> {
    const old = this.#instance!
    const successor = this.#successor!
    this.#successor = undefined
    successor.serve?.()
    this.#install(successor)
    await old.close()
  }

  #onEnd(end: InstanceEnd): void {
    if (this.#state !== 'ready') return
    this.#renewal.stop()
    void this.#successor?.close()
    this.#successor = undefined
    this.#failures++
    this.#recordFailure(end.reason, end.message)
    const worked = this.#options.clock.monotonicMs() - this.#readySince
    this.#consecutive = worked > RECOVERED_AFTER_MS ? 0 : this.#consecutive
    this.#backOff()
    this.#options.onFailure(end)
  }

  #recordFailure(reason: string, message: string): void {
    this.#lastFailure = { at: new Date(this.#options.clock.epochMs()).toISOString(), reason, message }
  }

  #backOff(): void {
    const delayMs = backoffMs(this.#consecutive)
    this.#consecutive++
    this.#state = 'backing off'
    this.#instance = undefined
    this.#retryAtMs = this.#options.clock.epochMs() + delayMs
    this.#cancelRetry = this.#options.clock.after(delayMs, () => void this.#restart())
  }

  async #restart(): Promise<void> {
    if (this.#state !== 'backing off') return
    this.#state = 'restarting'
    try {
      await this.#adopt(await this.#options.open({ gently: false }))
      this.#options.onRecovered?.()
    } catch (error) {
      if ((this.#state as SlotState) === 'closed') return
      this.#recordFailure('restart failed', messageOf(error))
      this.#backOff()
    }
  }

  /** Runs a batch; the caller has checked `available`. After a time-out, `onAvailable` is called when the slot is free again. */
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunResult> {
    return this.#use(inputs, (instance) => instance.run(inputs, outputs))
  }

  /** As `run`, with the answer in parts; an instance without `stream` gives one part. */
  stream(inputs: readonly Tensor[], outputs: readonly string[], onPart: (outputs: readonly Tensor[]) => void): Promise<RunResult> {
    return this.#use(inputs, async (instance) => {
      if (instance.stream !== undefined) return await instance.stream(inputs, outputs, onPart)
      const result = await instance.run(inputs, outputs)
      onPart(result.outputs)
      return result
    })
  }

  async #use(inputs: readonly Tensor[], act: (instance: Instance) => Promise<RunResult>): Promise<RunResult> {
    const instance = this.#instance
    if (instance === undefined || this.#state !== 'ready') {
      throw new SlipwayError('SLW_INSTANCE_FAILED', `instance ${this.#options.name} is ${this.#state}`, { retryAfterMs: backoffMs(0) })
    }
    // Their memory is given away by the run.
    const bytes = tensorsBytes(inputs)
    this.#running = true
    try {
      const result = await act(instance)
      this.#renewal.ran(bytes, result.grownBytes ?? 0)
      return result
    } finally {
      if (instance.busy) this.#awaitIdle(instance)
      else this.#free()
    }
  }

  #free(): void {
    this.#running = false
    if (this.#successor !== undefined) void this.#succeed()
  }

  /** A run whose caller got a time-out goes on in its thread: the slot takes no run until it is over. */
  #awaitIdle(instance: Instance): void {
    this.#timeouts++
    this.#recordFailure('run timeout', 'a run exceeded runTimeoutMs; the thread is left to finish it')
    void instance.idle().then(() => {
      this.#free()
      this.#options.onAvailable()
    })
  }

  status(): SlotStatus {
    return {
      name: this.#options.name,
      state: this.#state,
      failures: this.#failures,
      timeouts: this.#timeouts,
      lastFailure: this.#lastFailure,
      retryAt: this.#retryAtMs === undefined ? undefined : new Date(this.#retryAtMs).toISOString(),
      memoryBytes: this.#instance?.memoryBytes(),
    }
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    this.#cancelRetry?.()
    this.#renewal.stop()
    await Promise.all([this.#successor?.close(), this.#instance?.close()])
  }
}
