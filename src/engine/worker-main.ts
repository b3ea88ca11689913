/** Main module of a worker thread with one instance. */
import { isMainThread, workerData } from 'node:worker_threads'
import { transferList } from './messages.ts'
import { hostInstance } from './worker-host.ts'
import type { ToInstance } from './messages.ts'
import type { ThreadData } from './thread.ts'

if (isMainThread) throw new Error('worker-main runs in a worker thread only')
const { port } = workerData as ThreadData
const receive = hostInstance(
  (message) => port.postMessage(message, message.type === 'result' ? transferList(message.data) : []),
  () => port.close(),
)
port.on('message', (message: ToInstance) => receive(message))
