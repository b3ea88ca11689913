import { getPriority } from 'node:os'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { entryUrl, workerEnvironment } from '../core/entry.ts'
import { transferList } from './messages.ts'
import { canLowerPriority, restoreThreadPriority } from './priority.ts'
import { RemoteInstance } from './remote-instance.ts'
import { forbidTelemetry } from './telemetry.ts'
import type { MessagePort } from 'node:worker_threads'
import type { Instance, InstanceEnd, InstanceSpec } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'

/** Limit of the JavaScript heap of an instance thread; tensors live outside it. Beyond the limit the thread ends, and only the thread. */
const HEAP_LIMIT_MB = 512

/** Time limit of the low priority of a load: on a machine without a free core the load would otherwise take minutes. */
const GENTLE_MS = 5000

/** Data that a thread gets before it loads its modules. */
export interface ThreadData {
  /** Whether the thread works at low priority until the message `serve`. */
  readonly gentle: boolean
  /** The end of the message channel that the thread uses. */
  readonly port: MessagePort
}

export interface ThreadOptions {
  readonly runTimeoutMs: number
  /**
   * Whether other models serve meanwhile: the thread then works at low priority, where the system allows that, until `serve` is called,
   * five seconds at most. Default: false.
   */
  readonly gentle?: boolean
  /** Pool that threads are taken from and returned to. Default: a thread ends with its instance. */
  readonly spares?: SpareThreads
}

/** Starts an instance in a worker thread and waits until its model is loaded. */
export async function openThread(spec: InstanceSpec, { runTimeoutMs, gentle = false, spares }: ThreadOptions): Promise<Instance> {
  forbidTelemetry()
  const lowered = gentle && canLowerPriority()
  const patience = lowered ? setTimeout(() => restoreThreadPriority(getPriority()), GENTLE_MS) : undefined
  patience?.unref()
  const thread = spares?.take() ?? new InstanceThread(lowered)
  // A spare thread may still work at low priority.
  if (!lowered) thread.raise()
  const instance: RemoteInstance = new RemoteInstance(
    {
      kind: 'thread',
      gentle: lowered,
      send: (message) => thread.send(message),
      kill() {},
      serve() {
        clearTimeout(patience)
        thread.raise()
      },
      memoryBytes: () => undefined,
      poll: () => thread.poll(),
      closed() {
        thread.occupant = undefined
        if (spares?.keep(thread) === true) instance.exited({ reason: 'exited', message: 'it was closed' })
        else void thread.end().then(() => instance.exited({ reason: 'exited', message: 'it was closed' }))
      },
    },
    spec,
    runTimeoutMs,
  )
  thread.occupant = instance
  try {
    await instance.load()
  } catch (error) {
    // The thread waits for messages and would keep the process alive.
    clearTimeout(patience)
    await instance.close()
    throw error
  }
  return instance
}

/** Threads of this process that have not ended. */
const left = new Set<InstanceThread>()

/** Number of threads that have not ended: when everything is closed, those whose run does not end. */
export function threadsLeft(): number {
  return left.size
}

/** A worker thread for one instance after another. */
class InstanceThread {
  /** The instance that gets the messages of the thread. */
  occupant: RemoteInstance | undefined
  /** Called when the thread ends by itself while it has no instance. */
  onEnd: (() => void) | undefined
  readonly #port: MessagePort
  readonly #ended: Promise<void>
  /** Whether the thread works at low priority. */
  #low: boolean

  constructor(gentle: boolean) {
    // A channel of its own instead of that of the worker: results can be taken from it at any time (`poll`).
    const { port1: port, port2 } = new MessageChannel()
    const data: ThreadData = { gentle, port: port2 }
    const worker = new Worker(entryUrl('engine/worker-thread'), {
      name: 'slipway instance',
      env: workerEnvironment(),
      workerData: data,
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
    })
    left.add(this)
    this.#port = port
    this.#low = gentle
    let crash: InstanceEnd | undefined
    port.on('message', (message: FromInstance) => this.occupant?.receive(message))
    worker.on('error', (error: Error & { code?: string }) => {
      crash = { reason: error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'heap exhausted' : 'error', message: error.message }
      this.occupant?.fail(crash)
    })
    this.#ended = new Promise((resolve) => {
      worker.on('exit', (code) => {
        // Messages that the thread sent before it ended are still on their way.
        while (this.#take());
        left.delete(this)
        port.close()
        resolve()
        this.occupant?.exited(crash ?? { reason: 'exited', message: `the thread ended with code ${code}` })
        this.onEnd?.()
      })
    })
  }

  /** Raises the thread to the priority of the process. */
  raise(): void {
    if (this.#low) this.send({ type: 'serve', nice: getPriority() })
    this.#low = false
  }

  send(message: ToInstance): void {
    if (message.type === 'load' && message.gentle) this.#low = true
    this.#port.postMessage(message, message.type === 'run' ? transferList(message.data) : [])
  }

  poll(): void {
    this.#take()
  }

  #take(): boolean {
    const received = receiveMessageOnPort(this.#port) as { message: FromInstance } | undefined
    if (received === undefined) return false
    this.occupant?.receive(received.message)
    return true
  }

  end(): Promise<void> {
    this.send({ type: 'exit' })
    return this.#ended
  }
}

/**
 * Pool of threads whose model was unloaded, for the next model: starting a thread takes a tenth of a second of a core, which a switch under
 * load would take from requests.
 */
export class SpareThreads implements AsyncDisposable {
  readonly #max: number
  readonly #idle: InstanceThread[] = []
  #closed = false

  /** @param max number of threads that are kept at most; each holds about 20 MB */
  constructor(max: number) {
    this.#max = max
  }

  /** Starts threads before they are needed, at low priority where the system allows that. @param count number of idle threads in total */
  prepare(count: number): void {
    try {
      while (!this.#closed && this.#idle.length < Math.min(count, this.#max)) this.keep(new InstanceThread(canLowerPriority()))
    } catch {
      // The system allows no more threads: the change that needs them reports it.
    }
  }

  take(): InstanceThread | undefined {
    const thread = this.#idle.pop()
    if (thread !== undefined) thread.onEnd = undefined
    return thread
  }

  /** Returns whether the thread was taken into the pool. */
  keep(thread: InstanceThread): boolean {
    if (this.#closed || this.#idle.length >= this.#max) return false
    this.#idle.push(thread)
    thread.onEnd = () => this.#idle.splice(this.#idle.indexOf(thread), 1)
    return true
  }

  /** Ends the idle threads, and takes no more into the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (let thread = this.take(); thread !== undefined; thread = this.take()) await thread.end()
  }
}
