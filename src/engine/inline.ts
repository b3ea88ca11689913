import { SlipwayError } from '../core/errors.ts'
import { measureOpening } from './memory.ts'
import { openSession, prepareRuntime, weightsOf } from './runtime.ts'
import type { Instance, InstanceSpec } from './instance.ts'

/**
 * An instance on the calling thread: no hop, but the thread is blocked while the model runs. For runs known to be short, and for commands
 * that do nothing else meanwhile.
 */
export async function openInline(spec: InstanceSpec): Promise<Instance> {
  prepareRuntime()
  const { opened: session, bytes } = await measureOpening(() => openSession(spec), weightsOf(spec))
  let closed = false
  let running = 0
  return {
    kind: 'inline',
    get busy() {
      return running > 0
    },
    idle: () => Promise.resolve(),
    ended: new Promise(() => {}),
    memoryBytes: () => bytes,
    async run(inputs, outputs) {
      if (closed) throw new SlipwayError('SLW_CLOSED', `instance ${spec.name} is closed`)
      running++
      try {
        return await session.run(inputs, outputs)
      } finally {
        running--
      }
    },
    async close() {
      if (closed) return
      closed = true
      await session.close()
    },
  }
}
