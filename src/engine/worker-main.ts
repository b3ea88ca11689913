/** What a worker thread with one instance does. */
import { parentPort } from 'node:worker_threads'
import { transferList } from './messages.ts'
import { hostInstance } from './worker-host.ts'
import type { ToInstance } from './messages.ts'

const port = parentPort
if (port === null) throw new Error('worker-main runs in a worker thread only')
const receive = hostInstance(
  (message) => port.postMessage(message, message.type === 'result' ? transferList(message.data) : []),
  () => port.close(),
)
port.on('message', (message: ToInstance) => receive(message))
