import { SlipwayError } from '../core/errors.ts'
import { DATATYPES } from './datatype.ts'
import { allocate, elementCount, formatShape } from './tensor.ts'
import type { Datatype, TensorData, TypedTensorData } from './datatype.ts'
import type { Tensor } from './tensor.ts'

/**
 * Raw tensors as Triton's binary extension and the gRPC raw contents carry them: little-endian elements, BOOL one byte,
 * BYTES with a 4-byte length before each element. The machine is little-endian, so elements are copied as they are.
 */
export function decodeBinary(bytes: Uint8Array, name: string, datatype: Datatype, shape: readonly number[]): TensorData {
  const count = elementCount(shape)
  if (datatype === 'BYTES') return decodeText(bytes, name, count)
  const expected = count * DATATYPES[datatype].bytes
  if (bytes.byteLength !== expected) {
    throw new SlipwayError(
      'SLW_BAD_REQUEST',
      `input "${name}": ${datatype} ${formatShape(shape)} takes ${expected} bytes of binary data, found ${bytes.byteLength}`,
    )
  }
  const data = allocate(datatype, count) as TypedTensorData
  new Uint8Array(data.buffer).set(bytes)
  if (datatype === 'BOOL') {
    for (let index = 0; index < count; index++) if (data[index] !== 0) data[index] = 1
  }
  return data
}

/** As {@link decodeBinary}, as a view of the bytes where they lie as the datatype needs it; it lives as long as they do. */
export function viewBinary(bytes: Uint8Array, name: string, datatype: Datatype, shape: readonly number[]): TensorData {
  const { bytes: size } = DATATYPES[datatype]
  const View = VIEWS[datatype]
  if (View === undefined || bytes.byteOffset % size !== 0 || bytes.byteLength !== elementCount(shape) * size)
    return decodeBinary(bytes, name, datatype, shape)
  return new View(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / size)
}

/** How bytes are seen as numbers; those of BOOL may be others than 0 and 1. */
const VIEWS: Partial<Record<Datatype, new (buffer: ArrayBuffer, offset: number, length: number) => TypedTensorData>> = {
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeText(bytes: Uint8Array, name: string, count: number): string[] {
  // Each element takes at least its length prefix, so `count` cannot claim more memory than the body could fill.
  if (count * 4 > bytes.byteLength) {
    throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": ${count} BYTES elements do not fit in ${bytes.byteLength} bytes`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const data: string[] = []
  let at = 0
  for (let index = 0; index < count; index++) {
    if (at + 4 > bytes.byteLength) throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": element ${index} of ${count} is missing`)
    const length = view.getUint32(at, true)
    at += 4
    if (at + length > bytes.byteLength) {
      throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": element ${index} says ${length} bytes, ${bytes.byteLength - at} are left`)
    }
    const content = bytes.subarray(at, at + length)
    if (content.includes(0))
      throw new SlipwayError(
        'SLW_BAD_REQUEST',
        `input "${name}": element ${index} has a NUL character, where ONNX Runtime would cut it off`,
      )
    try {
      data.push(strictUtf8.decode(content))
    } catch {
      throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": element ${index} is not UTF-8; ONNX strings are text`)
    }
    at += length
  }
  if (at !== bytes.byteLength) throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": ${bytes.byteLength - at} bytes are left over`)
  return data
}

/** The inverse of {@link decodeBinary}; a view where no copy is needed. */
export function encodeBinary(tensor: Tensor): Buffer {
  const { data } = tensor
  if (!Array.isArray(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const parts: Buffer[] = []
  for (const text of data) {
    const content = Buffer.from(text, 'utf8')
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32LE(content.length)
    parts.push(length, content)
  }
  return Buffer.concat(parts)
}
