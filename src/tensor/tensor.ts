/** Tensor holds datatypes, tensors, and the codecs that bring them in and out as JSON and bytes. */
import { SlipwayError } from '../core/errors.ts'
import { bfloatToNumber, halfToNumber, numberToBfloat, numberToHalf } from './half.ts'
import { DATATYPES, isWide } from './datatype.ts'
import type { Datatype, TensorData, TypedTensorData } from './datatype.ts'

/** A named array with a datatype and a shape, row-major. A scalar has shape []. */
export interface Tensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly data: TensorData
}

/** Declaration of an input or output of a model: -1 in `shape` is a free dimension. */
export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  /** Names of the free dimensions where the file gives them, `undefined` elsewhere; as long as `shape`. */
  readonly dimensionNames: readonly (string | undefined)[]
  /** The file gives no rank at all: any shape fits. */
  readonly anyRank?: boolean
}

export function elementCount(shape: readonly number[]): number {
  let count = 1
  for (const dimension of shape) count *= dimension
  return count
}

export function allocate(datatype: Datatype, count: number): TensorData {
  return DATATYPES[datatype].make(count)
}

/** Bytes that the tensor holds in memory; text counts as its UTF-16 length. */
export function tensorBytes(tensor: Tensor): number {
  if (!Array.isArray(tensor.data)) return tensor.data.byteLength
  let bytes = 0
  for (const text of tensor.data) bytes += 2 * text.length + 16
  return bytes
}

/** Bytes that tensors hold together. */
export function tensorsBytes(tensors: readonly Tensor[]): number {
  let bytes = 0
  for (const tensor of tensors) bytes += tensorBytes(tensor)
  return bytes
}

/** Small tensors of a request are cut from a shared piece of memory: an allocation of their own costs more than reading them. */
const SLAB_ELEMENTS = 65_536
const SLAB_SHARE = 2048
let slab = new Float32Array(0)
let slabUsed = 0

/** FP32 storage for short-lived request data; may be a view, so it is copied before its memory is given away. */
export function allocateRequestFloats(count: number): Float32Array {
  if (count > SLAB_SHARE) return new Float32Array(count)
  if (slabUsed + count > slab.length) {
    slab = new Float32Array(SLAB_ELEMENTS)
    slabUsed = 0
  }
  const start = slabUsed
  slabUsed += count
  return slab.subarray(start, slabUsed)
}

export function formatShape(shape: readonly (number | string)[]): string {
  return `[${shape.join(', ')}]`
}

/** Rows `start` to `end` of dim 0, as a view where the storage allows one. */
export function sliceRows(tensor: Tensor, start: number, end: number): Tensor {
  const perRow = elementCount(tensor.shape.slice(1))
  const data = Array.isArray(tensor.data)
    ? tensor.data.slice(start * perRow, end * perRow)
    : tensor.data.subarray(start * perRow, end * perRow)
  return { name: tensor.name, datatype: tensor.datatype, shape: [end - start, ...tensor.shape.slice(1)], data }
}

/** Joins tensors of one name, datatype and row shape along dim 0, into fresh memory. */
export function concatRows(parts: readonly Tensor[]): Tensor {
  const first = parts[0]
  if (first === undefined) throw new SlipwayError('SLW_INTERNAL', 'nothing to join')
  let rows = 0
  let count = 0
  for (const part of parts) {
    rows += part.shape[0] ?? 1
    count += part.data.length
  }
  const shape = [rows, ...first.shape.slice(1)]
  if (Array.isArray(first.data)) {
    return { ...first, shape, data: parts.flatMap((part) => part.data as string[]) }
  }
  const data = allocate(first.datatype, count) as TypedTensorData
  let offset = 0
  for (const part of parts) {
    // All parts share a datatype, so the element kinds agree.
    ;(data as Float32Array).set(part.data as Float32Array, offset)
    offset += part.data.length
  }
  return { name: first.name, datatype: first.datatype, shape, data }
}

/** A copy in memory of its own, which may be transferred to a thread. */
export function copyTensor(tensor: Tensor): Tensor {
  return { ...tensor, data: tensor.data.slice() }
}

/** Elements as JavaScript numbers; 64-bit integers lose what a double cannot hold. Not for BYTES. */
export function toNumbers(tensor: Tensor): ArrayLike<number> {
  const { data, datatype } = tensor
  if (Array.isArray(data)) throw new SlipwayError('SLW_INTERNAL', `tensor "${tensor.name}" holds text, not numbers`)
  if (datatype === 'FP16') return Float64Array.from(data as Uint16Array, halfToNumber)
  if (datatype === 'BF16') return Float64Array.from(data as Uint16Array, bfloatToNumber)
  if (isWide(datatype)) return Float64Array.from(data as BigInt64Array, Number)
  return data as Float64Array
}

/** One element as people see it: number, bigint beyond 2^53, boolean or text. */
export function elementAt(tensor: Tensor, index: number): number | bigint | boolean | string {
  const value = tensor.data[index]
  switch (tensor.datatype) {
    case 'BOOL':
      return value !== 0
    case 'FP16':
      return halfToNumber(value as number)
    case 'BF16':
      return bfloatToNumber(value as number)
    case 'INT64':
    case 'UINT64': {
      const number = Number(value)
      return Number.isSafeInteger(number) ? number : (value as bigint)
    }
    default:
      return value as number | string
  }
}

/** Writes a number into storage of any numeric datatype; the caller has checked range and integrality. */
export function setNumber(data: TensorData, datatype: Datatype, index: number, value: number): void {
  if (datatype === 'FP16') (data as Uint16Array)[index] = numberToHalf(value)
  else if (datatype === 'BF16') (data as Uint16Array)[index] = numberToBfloat(value)
  else if (isWide(datatype)) (data as BigInt64Array)[index] = BigInt(value)
  else (data as Float64Array)[index] = value
}
