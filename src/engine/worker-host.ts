import { isSlipwayError, messageOf, SlipwayError } from '../core/errors.ts'
import { failPoint } from '../core/fail-point.ts'
import { formatBytes } from '../core/units.ts'
import { WIRE_VERSION } from './messages.ts'
import { anonymousBytes, heapBytes, measureOpening } from './memory.ts'
import { lowerThreadPriority, restoreThreadPriority } from './priority.ts'
import { openSession, prepareRuntime, weightsOf } from './runtime.ts'
import { tensorsBytes } from '../tensor/tensor.ts'
import type { Session } from './runtime.ts'
import type { InstanceSpec, WireError } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'

/** From this duration on the growth of memory is measured for every large run: that takes 20 us. */
const MEASURED_FROM_US = 5000

/** Inner side of an instance in a thread or process: answers messages with one loaded session, one after another. */
export function hostInstance(post: (message: FromInstance) => void, exit: () => void): (message: ToInstance) => void {
  let session: Session | undefined
  let spec: InstanceSpec | undefined
  /** Size of the inputs of the largest run, and the duration of the last one. */
  let largest = 0
  let lastUs = 0
  // Messages are handled one after the other: a close waits for the run before it.
  let last: Promise<void> = Promise.resolve()
  const handle = async (message: ToInstance): Promise<void> => {
    switch (message.type) {
      case 'load':
        try {
          if ((message.v as number) !== WIRE_VERSION)
            throw new Error(`the instance speaks version ${WIRE_VERSION}, was sent ${String(message.v)}`)
          if (message.gentle) lowerThreadPriority()
          spec = message.spec
          // The library is loaded first, once for all models, so that its memory is not counted as the model's.
          prepareRuntime()
          const { opened, bytes } = await measureOpening(() => openSession(message.spec), weightsOf(spec))
          session = opened
          largest = 0
          post({ type: 'loaded', memoryBytes: bytes + heapBytes() })
        } catch (error) {
          post({ type: 'load-failed', error: wireError(error) })
        }
        break
      case 'run':
        await run(message)
        break
      case 'serve':
        restoreThreadPriority(message.nice)
        break
      case 'close':
        await session?.close()
        session = undefined
        spec = undefined
        post({ type: 'closed' })
        break
      case 'exit':
        exit()
        break
    }
  }
  const run = async (message: Extract<ToInstance, { type: 'run' }>): Promise<void> => {
    const fault = failPoint('run')
    if (fault !== undefined) await injectFault(fault)
    try {
      if (session === undefined || spec === undefined) throw new Error('no model is loaded')
      const inputs = spec.inputs.map(({ name, datatype }, index) => ({
        name,
        datatype,
        shape: message.shapes[index]!,
        data: message.data[index]!,
      }))
      const bytes = tensorsBytes(inputs)
      const large = bytes > largest || (2 * bytes > largest && lastUs > MEASURED_FROM_US)
      const before = large ? anonymousBytes() : undefined
      const names = spec.outputs.map((output) => output.name)
      const result = await session.run(inputs, message.outputs?.map((index) => names[index]!) ?? names)
      const outputBytes = tensorsBytes(result.outputs)
      if (outputBytes > (spec.outputBytesMax ?? Number.POSITIVE_INFINITY))
        throw new SlipwayError(
          'SLW_OUTPUT_TOO_LARGE',
          `the outputs have ${formatBytes(outputBytes)}, ${formatBytes(spec.outputBytesMax!)} are allowed (maxOutputBytes)`,
        )
      let grownBytes: number | undefined
      if (before !== undefined) {
        largest = Math.max(largest, bytes)
        grownBytes = anonymousBytes() - before - outputBytes
      }
      lastUs = result.computeUs
      post({
        type: 'result',
        id: message.id,
        data: result.outputs.map((output) => output.data),
        shapes: result.outputs.map((output) => output.shape),
        computeUs: result.computeUs,
        grownBytes,
      })
    } catch (error) {
      post({ type: 'run-failed', id: message.id, error: wireError(error) })
    }
  }
  return (message) => {
    last = last.then(() => handle(message))
    // An error that no message can carry ends the instance: the parent sees it as a crash.
    last.catch((error: unknown) => {
      setImmediate(() => {
        throw error
      })
    })
  }
}

function wireError(error: unknown): WireError {
  return isSlipwayError(error) ? { code: error.code, message: error.message } : { code: 'SLW_RUN_FAILED', message: messageOf(error) }
}

/** The faults that tests ask for; see core/fail-point. */
async function injectFault(fault: string): Promise<void> {
  const [kind = '', ms = '1500'] = fault.split('=')
  switch (kind) {
    case 'throw':
      throw new Error('injected: a JavaScript error in the instance')
    case 'exhaust': {
      const hoard: number[][] = []
      for (;;) hoard.push(Array.from<number>({ length: 2_000_000 }).fill(0.5))
    }
    case 'leak': {
      const leaked = globalThis as { leaked?: Buffer[] }
      leaked.leaked ??= []
      leaked.leaked.push(Buffer.alloc(256 * 1024 * 1024, 1))
      break
    }
    case 'hang':
      for (const end = Date.now() + 600_000; Date.now() < end;);
      break
    case 'slow':
      for (const end = Date.now() + Number(ms); Date.now() < end;);
      break
    case 'abort':
      process.abort()
  }
}
