import { constants } from 'node:os'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { LOAD_TIMEOUT_MS } from './instance.ts'
import { WIRE_VERSION } from './messages.ts'
import type { Instance, InstanceEnd, InstanceSpec, RunResult } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Connection to an instance in a thread or process: sends messages and ends the instance. */
export interface Transport {
  readonly kind: 'thread' | 'process'
  /** Whether the model is to be loaded at low priority. */
  readonly gentle: boolean
  send(message: ToInstance): void
  /** Ends the instance without waiting. A thread inside the runtime cannot be ended (the process would abort): it is left alone. */
  kill(): void
  /** Called when the model was unloaded: the instance gets no more requests. */
  closed(): void
  /** Called when loading and warming are over. */
  serve?(): void
  /** Takes a message that has arrived and was not yet delivered. */
  poll?(): void
  /** Memory of the instance now, where it can be told apart from the rest of this process. */
  memoryBytes(): number | undefined
}

interface Pending {
  readonly id: number
  readonly outputs: readonly string[]
  readonly resolve: (result: RunResult) => void
  readonly reject: (error: SlipwayError) => void
  timer: NodeJS.Timeout | undefined
}

/** Common part of instances in threads and processes: one run at a time, time limits, a reported end. */
export class RemoteInstance implements Instance {
  readonly kind: 'thread' | 'process'
  readonly ended: Promise<InstanceEnd>
  readonly #transport: Transport
  readonly #spec: InstanceSpec
  readonly #outputNames: readonly string[]
  readonly #runTimeoutMs: number
  readonly #end = Promise.withResolvers<InstanceEnd>()
  readonly #loaded = Promise.withResolvers<void>()
  readonly #gone = Promise.withResolvers<void>()
  #pending: Pending | undefined
  /** A run that still goes on after its caller was given a time-out. */
  #overdue: PromiseWithResolvers<void> | undefined
  #nextId = 1
  #loadedBytes: number | undefined
  #closing: Promise<void> | undefined
  #dead = false

  constructor(transport: Transport, spec: InstanceSpec, runTimeoutMs: number) {
    this.#transport = transport
    this.#spec = spec
    this.#outputNames = spec.outputs.map((output) => output.name)
    this.#runTimeoutMs = runTimeoutMs
    this.kind = transport.kind
    this.ended = this.#end.promise
    this.#loaded.promise.catch(() => {})
    const timer = setTimeout(() => {
      this.fail({ reason: 'hang', message: `loading took longer than ${LOAD_TIMEOUT_MS / 1000} s` })
      transport.kill()
    }, LOAD_TIMEOUT_MS)
    timer.unref()
    this.#loaded.promise.finally(() => clearTimeout(timer)).catch(() => {})
  }

  /** Sends the model and waits until it is loaded. */
  async load(): Promise<void> {
    this.#transport.send({ type: 'load', v: WIRE_VERSION, spec: this.#spec, gentle: this.#transport.gentle })
    await this.#loaded.promise
  }

  serve(): void {
    this.#transport.serve?.()
  }

  poll(): void {
    if (this.#pending !== undefined) this.#transport.poll?.()
  }

  get busy(): boolean {
    return this.#pending !== undefined || this.#overdue !== undefined
  }

  async idle(): Promise<void> {
    await this.#overdue?.promise
  }

  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunResult> {
    if (this.#dead || this.#closing !== undefined) {
      return Promise.reject(new SlipwayError('SLW_INSTANCE_FAILED', `instance ${this.#spec.name} has ended`, { retryAfterMs: 1000 }))
    }
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#timeOut(id), this.#runTimeoutMs)
      this.#pending = { id, outputs, resolve, reject, timer }
      try {
        this.#transport.send({
          type: 'run',
          id,
          data: inputs.map((input) => input.data),
          shapes: inputs.map((input) => input.shape),
          outputs: this.#outputIndices(outputs),
        })
      } catch (error) {
        // A run that could not be sent was never started: the instance is free.
        clearTimeout(timer)
        this.#pending = undefined
        reject(new SlipwayError('SLW_INTERNAL', `the inputs cannot be sent to the instance: ${messageOf(error)}`, { cause: error }))
      }
    })
  }

  /** Undefined where all outputs are requested in order, for a shorter message. */
  #outputIndices(outputs: readonly string[]): readonly number[] | undefined {
    const names = this.#outputNames
    if (outputs.length === names.length && outputs.every((name, index) => name === names[index])) return undefined
    return outputs.map((name) => names.indexOf(name))
  }

  #toTensors(names: readonly string[], message: Extract<FromInstance, { type: 'result' }>): Tensor[] {
    return names.map((name, index) => {
      const { datatype } = this.#spec.outputs[this.#outputNames.indexOf(name)]!
      return { name, datatype, shape: message.shapes[index]!, data: message.data[index]! }
    })
  }

  #timeOut(id: number): void {
    const pending = this.#pending
    if (pending?.id !== id) return
    this.#pending = undefined
    const error = new SlipwayError('SLW_RUN_TIMEOUT', `a run of ${this.#spec.name} took longer than ${this.#runTimeoutMs} ms`)
    if (this.kind === 'process') {
      this.fail({ reason: 'hang', message: `a run took longer than ${this.#runTimeoutMs} ms; the process was killed` })
      this.#transport.kill()
    } else {
      this.#overdue = Promise.withResolvers<void>()
    }
    pending.reject(error)
  }

  receive(message: FromInstance): void {
    switch (message.type) {
      case 'loaded':
        this.#loadedBytes = message.memoryBytes
        this.#loaded.resolve()
        break
      case 'load-failed':
        this.#loaded.reject(new SlipwayError(message.error.code, message.error.message))
        break
      case 'result':
        {
          const pending = this.#settle(message.id)
          const { computeUs, grownBytes } = message
          pending?.resolve({ outputs: this.#toTensors(pending.outputs, message), computeUs, grownBytes })
        }
        break
      case 'run-failed':
        this.#settle(message.id)?.reject(new SlipwayError(message.error.code, message.error.message))
        break
      case 'closed':
        this.#transport.closed()
        break
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending
    if (pending?.id === id) {
      this.#pending = undefined
      clearTimeout(pending.timer)
      return pending
    }
    this.#overdue?.resolve()
    this.#overdue = undefined
    return undefined
  }

  /** Called when the other side has ended or is given up: rejects all pending calls. */
  fail(end: InstanceEnd): void {
    if (this.#dead) return
    this.#dead = true
    const error = new SlipwayError(
      'SLW_INSTANCE_FAILED',
      `instance ${this.#spec.name} ended (${end.reason}: ${end.message}) and is being replaced`,
      { retryAfterMs: 1000, exitCode: exitCodeOf(end) },
    )
    this.#loaded.reject(
      new SlipwayError('SLW_LOAD_FAILED', `the instance ended while it loaded (${end.reason}: ${end.message})`, {
        exitCode: exitCodeOf(end),
      }),
    )
    const pending = this.#pending
    this.#pending = undefined
    clearTimeout(pending?.timer)
    // Whoever asked for that much is told, and does not ask the next instance for it.
    const own = end.byRun === true ? new SlipwayError('SLW_MEMORY_EXCEEDED', `the run was ended: its instance ${end.message}`) : error
    pending?.reject(own)
    this.#overdue?.resolve()
    this.#overdue = undefined
    if (this.#closing === undefined) this.#end.resolve(end)
  }

  /** Called when the thread or process has really ended. */
  exited(end: InstanceEnd): void {
    this.fail(end)
    this.#gone.resolve()
  }

  memoryBytes(): number | undefined {
    return this.#dead ? undefined : (this.#transport.memoryBytes() ?? this.#loadedBytes)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#dead && this.kind === 'thread') return
    if (!this.#dead) this.#transport.send({ type: 'close' })
    const patience = this.kind === 'process' ? 5000 : this.#runTimeoutMs + 5000
    const timer = setTimeout(() => {
      if (this.kind === 'process') this.#transport.kill()
      // A thread that never returns is abandoned: ending it would end the process.
      else this.#gone.resolve()
    }, patience)
    timer.unref()
    await this.#gone.promise
    clearTimeout(timer)
  }
}

/** As a shell says it of a program that a signal has ended; undefined where none did. */
function exitCodeOf({ signal }: InstanceEnd): number | undefined {
  return signal === undefined ? undefined : 128 + constants.signals[signal]
}
