/** Entry of a worker thread that holds one instance: sets its priority before its modules are loaded. */
import { workerData } from 'node:worker_threads'
import { lowerThreadPriority } from './priority.ts'
import type { ThreadData } from './thread.ts'

const { gentle } = workerData as ThreadData
// A thread that starts while others serve must not take their CPU time.
if (gentle) lowerThreadPriority()
await import('./worker-main.ts')
