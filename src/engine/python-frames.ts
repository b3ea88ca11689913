import { DATATYPES } from '../tensor/datatype.ts'
import { elementCount } from '../tensor/tensor.ts'
import type { Duplex } from 'node:stream'
import type { InstanceSpec } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'
import type { TensorData, TypedTensorData } from '../tensor/datatype.ts'
import type { TensorSpec } from '../tensor/tensor.ts'
import type { ErrorCode } from '../core/errors.ts'

/** Length of what follows and length of the header, both 4 bytes, little-endian. */
const PREFIX_BYTES = 8
/** An answer of a model that is larger is refused: whoever sends it may want to fill our memory. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024

/** How one tensor lies in a message: as text in the header, or as that many of the bytes after it. */
type Part = { readonly text: readonly string[] } | { readonly bytes: number }

/**
 * Messages to and from `engine/python/worker.py`: a prefix, a header of JSON, and the bytes of the tensors that it lists. What comes is
 * believed in nothing: a model that runs code may send whatever it likes.
 */
export function pythonFrames({ outputs }: Pick<InstanceSpec, 'outputs'>) {
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
      const { header, blobs } = encode(message)
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

function encode(message: ToInstance): { readonly header: object; readonly blobs: readonly Buffer[] } {
  if (message.type !== 'run') return { header: message, blobs: [] }
  const blobs: Buffer[] = []
  const data = message.data.map((values): Part => {
    if (Array.isArray(values)) return { text: values }
    // What a run is given is its own, so nobody writes into it while it is being sent.
    blobs.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
    return { bytes: values.byteLength }
  })
  return { header: { ...message, data }, blobs }
}

/** @throws TypeError for what is no message */
function decode(frame: Buffer, asked: readonly TensorSpec[]): FromInstance {
  const headerBytes = frame.readUInt32LE(0)
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
      const parts = list(message['data'])
      if (parts.length !== asked.length || shapes.length !== asked.length)
        throw new TypeError(`${parts.length} outputs for ${asked.length}`)
      let blobs = frame.subarray(4 + headerBytes)
      const data = asked.map((spec, index): TensorData => {
        const values = tensorOf(spec, elementCount(shapes[index]!), record(parts[index]), blobs)
        if (!Array.isArray(values)) blobs = blobs.subarray(values.byteLength)
        return values
      })
      return { type: 'result', id: count(message['id']), data, shapes, computeUs: Math.max(0, Number(message['computeUs']) || 0) }
    }
    default:
      throw new TypeError(`a message of the type ${JSON.stringify(message['type'])}`)
  }
}

/** @param blobs what is left of the bytes of the message, this tensor's first */
function tensorOf({ name, datatype }: TensorSpec, elements: number, part: Readonly<Record<string, unknown>>, blobs: Buffer): TensorData {
  if (datatype === 'BYTES') {
    const text = list(part['text'])
    if (text.length === elements && text.every((value) => typeof value === 'string')) return text as string[]
    throw new TypeError(`output "${name}" is not ${elements} texts`)
  }
  const bytes = elements * DATATYPES[datatype].bytes
  if (part['bytes'] !== bytes || bytes > blobs.length) throw new TypeError(`output "${name}" has not the ${bytes} bytes of its shape`)
  const values = DATATYPES[datatype].make(elements) as TypedTensorData
  new Uint8Array(values.buffer).set(blobs.subarray(0, bytes))
  return values
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
