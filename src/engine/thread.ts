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

/** JavaScript heap of an instance thread; tensors live outside it. Beyond it the thread ends, and only the thread. */
const HEAP_LIMIT_MB = 512

/** How long a load gives way to others: on a machine without a free core it would otherwise take minutes. */
const GENTLE_MS = 5000

/** What a thread is told before it loads its modules. */
export interface ThreadData {
  /** Whether it works at low priority until it is told to serve. */
  readonly gentle: boolean
  /** The other end of the way that its messages go. */
  readonly port: MessagePort
}

export interface ThreadOptions {
  readonly runTimeoutMs: number
  /**
   * Whether others serve meanwhile: it then works at low priority, where the system allows that, until it has been told to
   * serve, five seconds at most. Default: false.
   */
  readonly gentle?: boolean
  /** Where threads come from and go to, if they are to be used again. Default: a thread ends with its instance. */
  readonly spares?: SpareThreads
}

/** Starts an instance in a worker thread and waits until its model is loaded. */
export async function openThread(spec: InstanceSpec, { runTimeoutMs, gentle = false, spares }: ThreadOptions): Promise<Instance> {
  forbidTelemetry()
  const lowered = gentle && canLowerPriority()
  const patience = lowered ? setTimeout(() => restoreThreadPriority(getPriority()), GENTLE_MS) : undefined
  patience?.unref()
  const thread = spares?.take() ?? new InstanceThread(lowered)
  // One that was begun beside others that serve is wanted now.
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

/** A worker thread for one instance after another. */
class InstanceThread {
  /** Whom its messages are for. */
  occupant: RemoteInstance | undefined
  /** Called when it ends by itself while nobody is in it. */
  onEnd: (() => void) | undefined
  readonly #port: MessagePort
  readonly #ended: Promise<void>
  /** It works at low priority. */
  #low: boolean

  constructor(gentle: boolean) {
    // A channel of its own and not that of the thread: from it results can be taken at any time (`poll`).
    const { port1: port, port2 } = new MessageChannel()
    const data: ThreadData = { gentle, port: port2 }
    const worker = new Worker(entryUrl('engine/worker-thread'), {
      name: 'slipway instance',
      env: workerEnvironment(),
      workerData: data,
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
    })
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
        // What it sent before it ended is still on its way.
        while (this.#take());
        port.close()
        resolve()
        this.occupant?.exited(crash ?? { reason: 'exited', message: `the thread ended with code ${code}` })
        this.onEnd?.()
      })
    })
  }

  /** To the priority that who serves has. */
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
 * Threads whose model was given back, for the next one: to start a thread takes a tenth of a second of a core, which a switch
 * under load would take from those who are served.
 */
export class SpareThreads implements AsyncDisposable {
  readonly #max: number
  readonly #idle: InstanceThread[] = []
  #closed = false

  /** @param max how many are kept at most; each holds about 20 MB */
  constructor(max: number) {
    this.#max = max
  }

  /** Starts threads before they are wanted, at low priority where the system allows that. @param count how many there are to be in all */
  prepare(count: number): void {
    try {
      while (!this.#closed && this.#idle.length < Math.min(count, this.#max)) this.keep(new InstanceThread(canLowerPriority()))
    } catch {
      // The system has no threads to spare: the change that wants them tells of it.
    }
  }

  take(): InstanceThread | undefined {
    const thread = this.#idle.pop()
    if (thread !== undefined) thread.onEnd = undefined
    return thread
  }

  /** Whether it was taken in. */
  keep(thread: InstanceThread): boolean {
    if (this.#closed || this.#idle.length >= this.#max) return false
    this.#idle.push(thread)
    thread.onEnd = () => this.#idle.splice(this.#idle.indexOf(thread), 1)
    return true
  }

  /** Ends those that are idle, and takes in no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (let thread = this.take(); thread !== undefined; thread = this.take()) await thread.end()
  }
}
