import { getCompileCacheDir } from 'node:module'
import { getPriority } from 'node:os'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { entryUrl } from '../core/entry.ts'
import { transferList } from './messages.ts'
import { canLowerPriority } from './priority.ts'
import { RemoteInstance } from './remote-instance.ts'
import { forbidTelemetry } from './telemetry.ts'
import type { MessagePort } from 'node:worker_threads'
import type { Instance, InstanceEnd, InstanceSpec } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'

/** JavaScript heap of an instance thread; tensors live outside it. Beyond it the thread ends, and only the thread. */
const HEAP_LIMIT_MB = 512

/** What a thread is told before it loads its modules. */
export interface ThreadData {
  /** Whether it works at low priority until it is told to serve. */
  readonly gentle: boolean
  /** Where the process keeps compiled code, if it does. */
  readonly compileCache: string | undefined
  /** The other end of the way that its messages go. */
  readonly port: MessagePort
}

/**
 * Starts an instance in a worker thread and waits until its model is loaded.
 * @param gentle whether others serve meanwhile: it then works at low priority, where the system allows that, until it has
 *   been told to serve
 */
export async function openThread(spec: InstanceSpec, runTimeoutMs: number, gentle = false): Promise<Instance> {
  forbidTelemetry()
  // A channel of its own and not that of the thread: from it results can be taken at any time (`poll`).
  const { port1: port, port2 } = new MessageChannel()
  const data: ThreadData = { gentle: gentle && canLowerPriority(), compileCache: getCompileCacheDir(), port: port2 }
  const worker = new Worker(entryUrl('engine/worker-thread'), {
    name: spec.name,
    workerData: data,
    transferList: [port2],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
  })
  const instance: RemoteInstance = new RemoteInstance(
    {
      kind: 'thread',
      send: (message) => port.postMessage(message, message.type === 'run' ? transferList(message.data) : []),
      kill() {},
      serve: () => {
        if (data.gentle) port.postMessage({ type: 'serve', nice: getPriority() } satisfies ToInstance, [])
      },
      memoryBytes: () => undefined,
      poll() {
        const received = receiveMessageOnPort(port) as { message: FromInstance } | undefined
        if (received !== undefined) instance.receive(received.message)
      },
    },
    spec,
    runTimeoutMs,
  )
  let crash: InstanceEnd | undefined
  port.on('message', (message: FromInstance) => instance.receive(message))
  worker.on('error', (error: Error & { code?: string }) => {
    crash = { reason: error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'heap exhausted' : 'error', message: error.message }
    instance.fail(crash)
  })
  worker.on('exit', (code) => {
    // What it sent before it ended is still on its way.
    for (let left = receiveMessageOnPort(port); left !== undefined; left = receiveMessageOnPort(port))
      instance.receive(left.message as FromInstance)
    port.close()
    instance.exited(crash ?? { reason: 'exited', message: `the thread ended with code ${code}` })
  })
  try {
    await instance.load()
  } catch (error) {
    // The thread waits for messages and would keep the process alive.
    await instance.close()
    throw error
  }
  return instance
}
