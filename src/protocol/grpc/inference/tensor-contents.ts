/** Tensors of a request: raw ones are views of the message, typed ones are read from InferTensorContents. */
import { SlipwayError } from '../../../core/errors.ts'
import { viewBinary } from '../../../tensor/binary.ts'
import { DATATYPES, isDatatype } from '../../../tensor/datatype.ts'
import { allocate, elementCount, formatShape } from '../../../tensor/tensor.ts'
import { refuseSharedMemory } from '../../v2/shared-memory.ts'
import { ProtoReader, WIRE } from '../proto/wire.ts'
import type { Datatype, TensorData } from '../../../tensor/datatype.ts'
import type { Tensor } from '../../../tensor/tensor.ts'
import type { RequestLimits } from '../../limits.ts'
import type { GivenRequest, GivenTensor } from './infer-request.ts'

/** A field of InferTensorContents. */
export interface ContentsField {
  readonly number: number
  readonly name: string
  /** Bits of an element; 0 where it is a number of one to ten bytes, or a text. */
  readonly wire: (typeof WIRE)[keyof typeof WIRE]
}

const BOOL: ContentsField = { number: 1, name: 'bool_contents', wire: WIRE.varint }
const INT: ContentsField = { number: 2, name: 'int_contents', wire: WIRE.varint }
const UINT: ContentsField = { number: 4, name: 'uint_contents', wire: WIRE.varint }

/** The field that values of a datatype lie in; FP16 and BF16 come as raw contents only. */
export const CONTENTS: Readonly<Record<Datatype, ContentsField | undefined>> = {
  BOOL,
  INT8: INT,
  INT16: INT,
  INT32: INT,
  INT64: { number: 3, name: 'int64_contents', wire: WIRE.varint },
  UINT8: UINT,
  UINT16: UINT,
  UINT32: UINT,
  UINT64: { number: 5, name: 'uint64_contents', wire: WIRE.varint },
  FP32: { number: 6, name: 'fp32_contents', wire: WIRE.fixed32 },
  FP64: { number: 7, name: 'fp64_contents', wire: WIRE.fixed64 },
  BYTES: { number: 8, name: 'bytes_contents', wire: WIRE.bytes },
  FP16: undefined,
  BF16: undefined,
}

/** @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED, SLW_NOT_IMPLEMENTED */
export function tensorsOf({ inputs, raw }: Pick<GivenRequest, 'inputs' | 'raw'>, limits: RequestLimits): Tensor[] {
  const isRaw = raw.length > 0
  if (isRaw && raw.length !== inputs.length)
    throw new SlipwayError(
      'SLW_BAD_REQUEST',
      `raw_input_contents has ${raw.length} entries for ${inputs.length} inputs; expected one for each`,
    )
  return inputs.map((input, index) => {
    const { name, datatype, shape } = checked(input, limits)
    if (!isRaw) return { name, datatype, shape, data: readContents(input.contents, name, datatype, shape) }
    if (input.contents !== undefined && input.contents.length > 0)
      throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}" has contents beside raw_input_contents; one way for all inputs`)
    return { name, datatype, shape, data: viewBinary(raw[index]!, name, datatype, shape) }
  })
}

function checked({ name, datatype, shape, parameters }: GivenTensor, limits: RequestLimits): Omit<Tensor, 'data'> {
  refuseSharedMemory(parameters, `input "${name}"`)
  if (!isDatatype(datatype)) throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": "${datatype}" is not a datatype of the protocol`)
  for (const dimension of shape)
    if (!Number.isSafeInteger(dimension) || dimension < 0)
      throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": dimension ${dimension} is not a size`)
  const count = elementCount(shape)
  if (count > limits.elements)
    throw new SlipwayError(
      'SLW_LIMIT_EXCEEDED',
      `input "${name}": ${formatShape(shape)} has ${count} elements, limits.elements is ${limits.elements}`,
    )
  return { name, datatype, shape }
}

function readContents(contents: Buffer | undefined, name: string, datatype: Datatype, shape: readonly number[]): TensorData {
  const count = elementCount(shape)
  const field = CONTENTS[datatype]
  if (field === undefined)
    throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}": ${datatype} has no typed contents; send it in raw_input_contents`)
  // Each element takes a byte at least, so a shape cannot claim more memory than eight times the message.
  if (count > (contents?.length ?? 0)) throw countError({ name, field, count, found: contents?.length === 0 ? 0 : undefined })
  const values = new Values(name, datatype, field, count)
  if (contents !== undefined) {
    const reader = new ProtoReader(contents)
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag >>> 3 !== field.number) {
        const other = Object.values(CONTENTS).find((one) => one?.number === tag >>> 3)
        // Clients that send every field, most of them empty, mean nothing by that.
        if (other !== undefined && (tag & 7) === WIRE.bytes && reader.message().at === reader.at && reader.bytes[reader.at - 1] === 0)
          continue
        if (other === undefined) {
          reader.skip(tag)
          continue
        }
        throw new SlipwayError('SLW_BAD_REQUEST', `input "${name}" is ${datatype}: its values belong in ${field.name}, found ${other.name}`)
      }
      if ((tag & 7) === WIRE.bytes && field.wire !== WIRE.bytes) {
        const packed = reader.message()
        if (!values.takePacked(packed)) while (packed.at < packed.end) values.take(packed)
      } else {
        reader.require(tag, field.wire)
        values.take(reader)
      }
    }
  }
  return values.done()
}

function countError({
  name,
  field,
  count,
  found,
}: {
  name: string
  field: ContentsField
  count: number
  found: number | undefined
}): SlipwayError {
  return new SlipwayError(
    'SLW_BAD_REQUEST',
    `input "${name}": its shape asks for ${count} values in ${field.name}${found === undefined ? ', there are fewer' : `, found ${found}`}`,
  )
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The values of one tensor as they are read. */
class Values {
  readonly #name: string
  readonly #datatype: Datatype
  readonly #field: ContentsField
  readonly #count: number
  readonly #data: TensorData
  readonly #range: readonly [number, number] | undefined
  #at = 0

  constructor(name: string, datatype: Datatype, field: ContentsField, count: number) {
    this.#name = name
    this.#datatype = datatype
    this.#field = field
    this.#count = count
    this.#data = allocate(datatype, count)
    const info = DATATYPES[datatype]
    // Smaller integers than those of the field.
    this.#range = 'range' in info && info.bytes < 4 ? [Number(info.range[0]), Number(info.range[1])] : undefined
  }

  /** Numbers of a fixed size are copied as they lie. @returns whether they are such */
  takePacked(packed: ProtoReader): boolean {
    if (this.#field.wire !== WIRE.fixed32 && this.#field.wire !== WIRE.fixed64) return false
    const data = this.#data as Float32Array | Float64Array
    const size = packed.end - packed.at
    const count = size / data.BYTES_PER_ELEMENT
    if (!Number.isInteger(count)) throw new SlipwayError('SLW_BAD_REQUEST', `input "${this.#name}": ${this.#field.name} is cut off`)
    if (this.#at + count > this.#count) throw this.#tooMany()
    new Uint8Array(data.buffer, data.byteOffset + this.#at * data.BYTES_PER_ELEMENT, size).set(packed.bytes.subarray(packed.at, packed.end))
    this.#at += count
    packed.at = packed.end
    return true
  }

  take(reader: ProtoReader): void {
    if (this.#at === this.#count) throw this.#tooMany()
    this.#put(this.#at++, reader)
  }

  #put(at: number, reader: ProtoReader): void {
    switch (this.#datatype) {
      case 'BYTES':
        ;(this.#data as string[])[at] = this.#text(reader.view(), at)
        return
      case 'FP32':
        ;(this.#data as Float32Array)[at] = reader.float()
        return
      case 'FP64':
        ;(this.#data as Float64Array)[at] = reader.double()
        return
      case 'INT64':
        ;(this.#data as BigInt64Array)[at] = reader.int64()
        return
      case 'UINT64':
        ;(this.#data as BigUint64Array)[at] = reader.uint64()
        return
      case 'BOOL':
        ;(this.#data as Uint8Array)[at] = reader.bool() ? 1 : 0
        return
      default:
        ;(this.#data as Int32Array)[at] = this.#small(this.#field === INT ? reader.int32() : reader.uint32(), at)
    }
  }

  #small(value: number, at: number): number {
    const range = this.#range
    if (range !== undefined && (value < range[0] || value > range[1]))
      throw new SlipwayError('SLW_INPUT_INVALID', `inputs.${this.#name}[${at}]: ${value} is no ${this.#datatype}`)
    return value
  }

  #text(bytes: Buffer, at: number): string {
    if (bytes.includes(0))
      throw new SlipwayError(
        'SLW_BAD_REQUEST',
        `input "${this.#name}": element ${at} has a NUL character, where ONNX Runtime would cut it off`,
      )
    try {
      return strictUtf8.decode(bytes)
    } catch {
      throw new SlipwayError('SLW_BAD_REQUEST', `input "${this.#name}": element ${at} is not UTF-8; ONNX strings are text`)
    }
  }

  #tooMany(): SlipwayError {
    return new SlipwayError(
      'SLW_BAD_REQUEST',
      `input "${this.#name}": ${this.#field.name} has more than the ${this.#count} values of its shape`,
    )
  }

  done(): TensorData {
    if (this.#at < this.#count) throw countError({ name: this.#name, field: this.#field, count: this.#count, found: this.#at })
    return this.#data
  }
}

/** Bytes of a request that take long to read: texts, and numbers of as many bytes as they need. */
export function slowBytes({ inputs, raw }: Pick<GivenRequest, 'inputs' | 'raw'>): number {
  let bytes = 0
  for (let index = 0; index < inputs.length; index++) {
    const { datatype, contents } = inputs[index]!
    if (datatype === 'BYTES') bytes += raw[index]?.length ?? contents?.length ?? 0
    else if (contents !== undefined && datatype !== 'FP32' && datatype !== 'FP64') bytes += contents.length
  }
  return bytes
}
