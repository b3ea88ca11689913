/** Entry of a thread that reads and writes large bodies. Those who wait for small ones come first. */
import { parentPort } from 'node:worker_threads'
import { isSlipwayError, messageOf } from '../../core/errors.ts'
import { keepThreadPriorityLow } from '../../engine/priority.ts'
import { READERS } from './readers.ts'
import { WRITERS } from './writers.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Job, Outcome } from './body-threads.ts'

if (process.platform === 'linux') keepThreadPriorityLow()

const port = parentPort!
port.on('message', (job: Job) => {
  void (async () => {
    try {
      const { done, moved } = await work(job)
      port.postMessage({ done } satisfies Outcome, moved)
    } catch (error) {
      const known = isSlipwayError(error)
      const { issues } = known ? error : { issues: undefined }
      port.postMessage({ failure: { code: known ? error.code : 'SLW_INTERNAL', message: messageOf(error), issues } } satisfies Outcome)
    }
  })()
})

/** @returns what was made, and the memory of it, which goes to the other thread instead of being copied */
async function work(job: Job): Promise<{ done: unknown; moved: ArrayBuffer[] }> {
  if (job.task === 'read') {
    const { shared, length, ...reading } = job.reading
    // Tensors may be views of the body: they are to be of memory that can move.
    const read = await READERS[job.name]({ ...reading, body: Buffer.from(new Uint8Array(new Uint8Array(shared, 0, length)).buffer) })
    return { done: read, moved: memoryOf(read.inputs) }
  }
  const { body, headerLength } = WRITERS[job.name](job.answer as never)
  const bytes = new Uint8Array(Buffer.byteLength(body))
  if (typeof body === 'string') new TextEncoder().encodeInto(body, bytes)
  else bytes.set(body)
  return { done: { bytes, headerLength }, moved: [bytes.buffer] }
}

/** Memory of tensors, each once: several may be views of one. */
function memoryOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = tensors.map(({ data }) => (Array.isArray(data) ? undefined : (data.buffer as ArrayBuffer)))
  return [...new Set(buffers.filter((buffer) => buffer !== undefined))]
}
