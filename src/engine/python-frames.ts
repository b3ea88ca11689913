import { decodeBinary, encodeBinary } from '../tensor/binary.ts'
import type { Duplex } from 'node:stream'
import type { InstanceSpec } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'
import type { TensorSpec } from '../tensor/tensor.ts'
import type { ErrorCode } from '../core/errors.ts'

/** Length of what follows and length of the header, both 4 bytes, little-endian. */
const PREFIX_BYTES = 8
/** An answer of a model that is larger is refused: whoever sends it may want to fill our memory. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024
/** So is a header: JSON grows when it is read, and tensors are not in it. */
const HEADER_BYTES_MAX = 64 * 1024

/**
 * Messages to and from `engine/python/worker.py`: a prefix, a header of JSON, and the tensors that it lists, as `tensor/binary` writes them. What comes is
 * believed in nothing: a model that runs code may send whatever it likes.
 */
export function pythonFrames({ inputs, outputs }: Pick<InstanceSpec, 'inputs' | 'outputs'>) {
  return (pipe: Duplex, receive: (message: FromInstance) => void, onBroken: (error: unknown) => void): ((message: ToInstance) => void) => {
    let chunks: Buffer[] = []
    let buffered = 0
    /** The outputs that the run in progress was asked for. */
    let asked: readonly TensorSpec[] = outputs
    pipe.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      buffered += chunk.length
      try {
        while (buffered >= PREFIX_BYTES) {
          if (chunks[0]!.length < PREFIX_BYTES) chunks = [Buffer.concat(chunks)]
          const needed = 4 + chunks[0]!.readUInt32LE(0)
          if (needed > ANSWER_BYTES_MAX) throw new RangeError(`an answer of ${needed} bytes`)
          if (buffered < needed) return
          const joined = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
          chunks = joined.length > needed ? [joined.subarray(needed)] : []
          buffered = joined.length - needed
          receive(decode(joined.subarray(4, needed), asked))
        }
      } catch (error) {
        onBroken(error)
      }
    })
    return (message) => {
      if (message.type === 'run') asked = message.outputs?.map((index) => outputs[index]!) ?? outputs
      const { header, blobs } = encode(message, inputs)
      const text = Buffer.from(JSON.stringify(header))
      const prefix = Buffer.allocUnsafe(PREFIX_BYTES)
      prefix.writeUInt32LE(4 + text.length + blobs.reduce((sum, blob) => sum + blob.byteLength, 0), 0)
      prefix.writeUInt32LE(text.length, 4)
      pipe.cork()
      for (const piece of [prefix, text, ...blobs]) pipe.write(piece)
      pipe.uncork()
    }
  }
}

function encode(message: ToInstance, inputs: readonly TensorSpec[]): { readonly header: object; readonly blobs: readonly Buffer[] } {
  if (message.type !== 'run') return { header: message, blobs: [] }
  // What a run is given is its own, so nobody writes into it while it is being sent.
  const blobs = message.data.map((data, index) => encodeBinary({ ...inputs[index]!, shape: message.shapes[index]!, data }))
  return { header: { ...message, data: blobs.map(({ length }) => length) }, blobs }
}

/** @throws TypeError for what is no message */
function decode(frame: Buffer, asked: readonly TensorSpec[]): FromInstance {
  const headerBytes = frame.readUInt32LE(0)
  if (headerBytes > HEADER_BYTES_MAX) throw new RangeError(`a header of ${headerBytes} bytes`)
  const message = record(JSON.parse(frame.toString('utf8', 4, 4 + headerBytes)))
  switch (message['type']) {
    case 'loaded':
      // What a process holds is asked of the kernel.
      return { type: 'loaded', memoryBytes: 0 }
    case 'closed':
      return { type: 'closed' }
    case 'load-failed':
      return { type: 'load-failed', error: wireError(message['error'], 'SLW_LOAD_FAILED') }
    case 'run-failed':
      return { type: 'run-failed', id: count(message['id']), error: wireError(message['error'], 'SLW_RUN_FAILED') }
    case 'result': {
      const shapes = list(message['shapes']).map((shape) => list(shape).map(count))
      const sizes = list(message['data']).map(count)
      if (sizes.length !== asked.length || shapes.length !== asked.length)
        throw new TypeError(`${sizes.length} outputs for ${asked.length}`)
      let blobs = frame.subarray(4 + headerBytes)
      const data = asked.map(({ name, datatype }, index) => {
        const bytes = blobs.subarray(0, sizes[index])
        blobs = blobs.subarray(sizes[index])
        return decodeBinary(bytes, name, datatype, shapes[index]!)
      })
      return { type: 'result', id: count(message['id']), data, shapes, computeUs: Math.max(0, Number(message['computeUs']) || 0) }
    }
    default:
      throw new TypeError(`a message of the type ${JSON.stringify(message['type'])}`)
  }
}

function wireError(value: unknown, otherwise: ErrorCode): { code: ErrorCode; message: string } {
  const { code, message } = record(value)
  const known = FOR_MODELS.find((name) => name === code)
  return { code: known ?? otherwise, message: String(message).slice(0, 2000) }
}

/** What a model can be the reason of. */
const FOR_MODELS = [
  'SLW_LOAD_FAILED',
  'SLW_DEPENDENCY_MISSING',
  'SLW_RUN_REJECTED',
  'SLW_RUN_FAILED',
] as const satisfies readonly ErrorCode[]

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  throw new TypeError('expected an object')
}

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw new TypeError('expected a list')
}

function count(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw new TypeError('expected a number')
}
