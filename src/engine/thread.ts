import { Worker } from 'node:worker_threads'
import { entryUrl } from '../core/entry.ts'
import { transferList } from './messages.ts'
import { RemoteInstance } from './remote-instance.ts'
import { forbidTelemetry } from './telemetry.ts'
import type { Instance, InstanceEnd, InstanceSpec } from './instance.ts'
import type { FromInstance } from './messages.ts'

/** JavaScript heap of an instance thread; tensors live outside it. Beyond it the thread ends, and only the thread. */
const HEAP_LIMIT_MB = 512

/** Starts an instance in a worker thread and waits until its model is loaded. */
export async function openThread(spec: InstanceSpec, runTimeoutMs: number): Promise<Instance> {
  forbidTelemetry()
  const worker = new Worker(entryUrl('engine/worker-thread'), {
    name: spec.name,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
  })
  const instance = new RemoteInstance(
    {
      kind: 'thread',
      send: (message) => worker.postMessage(message, message.type === 'run' ? transferList(message.data) : []),
      kill() {},
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
