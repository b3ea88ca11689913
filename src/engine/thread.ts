import { getCompileCacheDir } from 'node:module'
import { getPriority } from 'node:os'
import { Worker } from 'node:worker_threads'
import { entryUrl } from '../core/entry.ts'
import { transferList } from './messages.ts'
import { canLowerPriority } from './priority.ts'
import { RemoteInstance } from './remote-instance.ts'
import { turnOffTelemetry } from './telemetry.ts'
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
}

/**
 * Starts an instance in a worker thread and waits until its model is loaded.
 * @param gentle whether others serve meanwhile: it then works at low priority, where the system allows that, until it has
 *   been told to serve
 */
export async function openThread(spec: InstanceSpec, runTimeoutMs: number, gentle = false): Promise<Instance> {
  const data: ThreadData = { gentle: gentle && canLowerPriority(), compileCache: getCompileCacheDir() }
  turnOffTelemetry()
  const worker = new Worker(entryUrl('engine/worker-thread'), {
    name: spec.name,
    workerData: data,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
  })
  const instance = new RemoteInstance(
    {
      kind: 'thread',
      send: (message) => worker.postMessage(message, message.type === 'run' ? transferList(message.data) : []),
      kill() {},
      serve: () => {
        if (data.gentle) worker.postMessage({ type: 'serve', nice: getPriority() } satisfies ToInstance, [])
      },
      memoryBytes: () => undefined,
    },
    spec,
    runTimeoutMs,
  )
  let crash: InstanceEnd | undefined
  worker.on('message', (message: FromInstance) => instance.receive(message))
  worker.on('error', (error: Error & { code?: string }) => {
    crash = { reason: error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'heap exhausted' : 'error', message: error.message }
    instance.fail(crash)
  })
  worker.on('exit', (code) => instance.exited(crash ?? { reason: 'exited', message: `the thread ended with code ${code}` }))
  try {
    await instance.load()
  } catch (error) {
    // The thread waits for messages and would keep the process alive.
    await instance.close()
    throw error
  }
  return instance
}
