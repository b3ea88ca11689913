/** Entry of a worker thread that holds one instance: what must be settled before its modules are loaded. */
import { workerData } from 'node:worker_threads'
import { lowerThreadPriority } from './priority.ts'
import type { ThreadData } from './thread.ts'

const { gentle } = workerData as ThreadData
// A thread that is started beside others that serve must not take their time.
if (gentle) lowerThreadPriority()
await import('./worker-main.ts')
