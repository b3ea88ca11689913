/** Entry of a child process that holds one instance. Descriptor 3 is a duplex pipe to the parent. */
import { Socket } from 'node:net'
import { endWithParent } from './end-with-parent.ts'
import { openFrames } from './frames.ts'
import { hostInstance } from './worker-host.ts'
import type { FromInstance, ToInstance } from './messages.ts'

endWithParent()
const pipe = new Socket({ fd: 3, readable: true, writable: true })
// The parent has ended: nobody is left to answer to.
pipe.on('close', () => process.exit(0))
pipe.on('error', () => process.exit(0))
// A terminal sends Ctrl-C to the whole group; the parent drains first and closes this process itself.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
const receive = hostInstance(
  (message) => send(message),
  () => pipe.end(),
)
const send = openFrames<ToInstance, FromInstance>(pipe, receive, (error) => {
  throw error
})
