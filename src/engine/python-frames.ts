import { decodeBinary, encodeBinary } from '../tensor/binary.ts'
import { elementCount } from '../tensor/tensor.ts'
import type { Duplex } from 'node:stream'
import type { InstanceSpec } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'
import type { TensorSpec } from '../tensor/tensor.ts'
import type { ErrorCode } from '../core/errors.ts'

/** Prefix of a message: length of the rest and length of the header, each 4 bytes, little-endian. */
const PREFIX_BYTES = 8
/** Largest answer of a model that is accepted: a hostile model may try to fill the memory. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024
/** Largest header that is accepted: JSON grows when it is parsed, and a header contains no tensors. */
const HEADER_BYTES_MAX = 64 * 1024
/** Cap on the compute time that a worker reports: an hour, which no run is given. */
const COMPUTE_US_MAX = 3.6e9

/** Expected answers to one message, and for a run its id, rows and requested outputs. */
interface Expected {
  readonly types: readonly FromInstance['type'][]
  readonly run?: { readonly id: number; readonly rows: number; readonly outputs: readonly TensorSpec[] }
}

/**
 * Messages to and from `engine/python/worker.py`: a prefix, a JSON header, and the tensors that the header lists, as `tensor/binary` writes
 * them. Received messages are not trusted, as a model that runs code may send anything: a message that does not answer the request, or is
 * larger than its answer can be, breaks the stream.
 */
export function pythonFrames({ inputs, outputs }: Pick<InstanceSpec, 'inputs' | 'outputs'>) {
  return (pipe: Duplex, receive: (message: FromInstance) => void, onBroken: (error: unknown) => void): ((message: ToInstance) => void) => {
    const expected: Expected[] = []
    const prefix = Buffer.alloc(PREFIX_BYTES)
    let prefixed = 0
    let frame: Buffer | undefined
    let filled = 0
    let broken = false
    /** Takes the bytes that the current message needs, and returns their number. */
    const take = (bytes: Buffer): number => {
      const [next] = expected
      if (next === undefined) throw new TypeError('a message that nobody has asked for')
      if (frame === undefined) {
        const taken = bytes.copy(prefix, prefixed)
        prefixed += taken
        if (prefixed < PREFIX_BYTES) return taken
        const length = prefix.readUInt32LE(0)
        if (length > (next.run === undefined ? HEADER_BYTES_MAX : ANSWER_BYTES_MAX)) throw new RangeError(`an answer of ${length} bytes`)
        frame = Buffer.allocUnsafe(Math.max(4, length))
        filled = prefix.copy(frame, 0, 4)
        return taken
      }
      const taken = bytes.copy(frame, filled)
      filled += taken
      return taken
    }
    pipe.on('data', (chunk: Buffer) => {
      if (broken) return
      try {
        for (let rest = chunk; rest.length > 0;) {
          rest = rest.subarray(take(rest))
          if (frame === undefined || filled < frame.length) continue
          const message = decode(frame, expected.shift()!)
          frame = undefined
          prefixed = 0
          receive(message)
        }
      } catch (error) {
        broken = true
        onBroken(error)
      }
    })
    return (message) => {
      const answer = answersTo(message, outputs)
      if (answer !== undefined) expected.push(answer)
      const { header, blobs } = encode(message, inputs)
      const text = Buffer.from(JSON.stringify(header))
      const lengths = Buffer.allocUnsafe(PREFIX_BYTES)
      lengths.writeUInt32LE(4 + text.length + blobs.reduce((sum, blob) => sum + blob.byteLength, 0), 0)
      lengths.writeUInt32LE(text.length, 4)
      pipe.cork()
      for (const piece of [lengths, text, ...blobs]) pipe.write(piece)
      pipe.uncork()
    }
  }
}

function answersTo(message: ToInstance, outputs: readonly TensorSpec[]): Expected | undefined {
  switch (message.type) {
    case 'load':
      return { types: ['loaded', 'load-failed'] }
    case 'run': {
      const asked = message.outputs?.map((index) => outputs[index]!) ?? outputs
      return { types: ['result', 'run-failed'], run: { id: message.id, rows: message.shapes[0]?.[0] ?? 1, outputs: asked } }
    }
    case 'close':
      return { types: ['closed'] }
    default:
      return undefined
  }
}

function encode(message: ToInstance, inputs: readonly TensorSpec[]): { readonly header: object; readonly blobs: readonly Buffer[] } {
  if (message.type === 'load') {
    const { python, inputs: takes, outputs: gives } = message.spec
    return { header: { ...message, spec: { python, inputs: takes, outputs: gives } }, blobs: [] }
  }
  if (message.type !== 'run') return { header: message, blobs: [] }
  // A run owns its inputs, so nobody writes into them while they are sent.
  const blobs = message.data.map((data, index) => encodeBinary({ ...inputs[index]!, shape: message.shapes[index]!, data }))
  return { header: { ...message, data: blobs.map(({ length }) => length) }, blobs }
}

/** @throws TypeError, RangeError, SlipwayError for a message that is no valid answer to the request */
function decode(frame: Buffer, { types, run }: Expected): FromInstance {
  const headerBytes = frame.readUInt32LE(0)
  if (headerBytes > HEADER_BYTES_MAX) throw new RangeError(`a header of ${headerBytes} bytes`)
  const message = record(JSON.parse(frame.toString('utf8', 4, 4 + headerBytes)))
  const type = types.find((name) => name === message['type'])
  if (run !== undefined && message['id'] !== run.id) throw new TypeError('an answer to another run')
  switch (type) {
    case 'loaded':
      // The memory of a process is asked of the kernel.
      return { type, memoryBytes: 0 }
    case 'closed':
      return { type }
    case 'load-failed':
      return { type, error: wireError(message['error'], 'SLW_LOAD_FAILED') }
    case 'run-failed':
      return { type, id: run!.id, error: wireError(message['error'], 'SLW_RUN_FAILED') }
    case 'result': {
      const { id, rows, outputs } = run!
      const shapes = list(message['shapes'])
      const sizes = list(message['data'])
      if (sizes.length !== outputs.length || shapes.length !== outputs.length)
        throw new TypeError(`${sizes.length} outputs for ${outputs.length}`)
      let blobs = frame.subarray(4 + headerBytes)
      const tensors = outputs.map((spec, index) => {
        const bytes = blobs.subarray(0, count(sizes[index]))
        blobs = blobs.subarray(bytes.length)
        const shape = shapeOf(spec, list(shapes[index]).map(count), rows)
        return { shape, data: decodeBinary(bytes, spec.name, spec.datatype, shape) }
      })
      const computeUs = Math.min(Math.max(0, Number(message['computeUs']) || 0), COMPUTE_US_MAX)
      return { type, id, data: tensors.map(({ data }) => data), shapes: tensors.map(({ shape }) => shape), computeUs }
    }
    default:
      throw new TypeError(`a message of the type ${JSON.stringify(message['type'])?.slice(0, 100)}`)
  }
}

/** Returns `shape` if the output can have it: as declared, one row for each input row, and no empty dimension except for zero rows. */
function shapeOf({ name, shape: promised }: TensorSpec, shape: readonly number[], rows: number): readonly number[] {
  const asPromised = shape.length === promised.length && shape.every((size, axis) => promised[axis] === -1 || promised[axis] === size)
  const ofTheseRows = promised[0] !== -1 || shape[0] === rows
  const withElements = shape.every((size, axis) => size > 0 || (axis === 0 && rows === 0))
  if (asPromised && ofTheseRows && withElements && elementCount(shape) <= ANSWER_BYTES_MAX) return shape
  throw new TypeError(`output "${name}" of a shape that it cannot have`)
}

function wireError(value: unknown, otherwise: ErrorCode): { code: ErrorCode; message: string } {
  const { code, message } = record(value)
  const known = FOR_MODELS.find((name) => name === code)
  return { code: known ?? otherwise, message: String(message).slice(0, 2000) }
}

/** Error codes that a model can cause. */
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
