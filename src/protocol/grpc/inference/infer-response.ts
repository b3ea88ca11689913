/** ModelInferResponse, written by hand. */
import { SlipwayError } from '../../../core/errors.ts'
import { encodeBinary } from '../../../tensor/binary.ts'
import { PREFIX_BYTES, sealMessage } from '../message-reader.ts'
import { ProtoWriter, WIRE } from '../proto/wire.ts'
import { CONTENTS } from './tensor-contents.ts'
import type { Tensor } from '../../../tensor/tensor.ts'
import type { Parameters } from '../../v2/types.ts'

export interface InferAnswer {
  readonly model: string
  readonly version: string
  readonly id: string | undefined
  readonly parameters?: Parameters
  readonly outputs: readonly Tensor[]
  /** Values as typed contents, and not as raw ones. Default: raw. */
  readonly typed?: boolean
}

/** Field numbers. */
const RESPONSE = { model: 1, version: 2, id: 3, parameters: 4, outputs: 5, raw: 6 } as const
const OUTPUT = { name: 1, datatype: 2, shape: 3, contents: 5 } as const
const PARAMETER = { bool: 1, int64: 2, text: 3, double: 4 } as const
const STREAM = { error: 1, response: 2 } as const

/** @returns the message, sealed */
export function writeInferResponse(answer: InferAnswer): Buffer {
  return sealMessage(writeResponse(answer, PREFIX_BYTES))
}

/** As one of the answers of a stream. @param error instead of outputs */
export function writeStreamResponse(answer: InferAnswer, error?: string): Buffer {
  const response = writeResponse(answer, 0)
  const writer = new ProtoWriter(PREFIX_BYTES, response.length + 32)
  if (error !== undefined) writer.text(STREAM.error, error)
  writer.bytes(STREAM.response, response)
  return sealMessage(writer.finish())
}

function writeResponse({ model, version, id, parameters, outputs, typed = false }: InferAnswer, reserved: number): Buffer {
  const raws = typed ? [] : outputs.map(encodeBinary)
  let size = 256
  for (const raw of raws) size += raw.length + 64
  const writer = new ProtoWriter(reserved, size)
  writer.text(RESPONSE.model, model).text(RESPONSE.version, version)
  if (id !== undefined) writer.text(RESPONSE.id, id)
  if (parameters !== undefined)
    for (const [name, value] of Object.entries(parameters)) writer.bytes(RESPONSE.parameters, parameterEntry(name, value))
  for (const output of outputs) writer.bytes(RESPONSE.outputs, outputMessage(output, typed))
  for (const raw of raws) writer.bytes(RESPONSE.raw, raw)
  return writer.finish()
}

function outputMessage(output: Tensor, typed: boolean): Buffer {
  const writer = new ProtoWriter(0, 128)
  writer.text(OUTPUT.name, output.name).text(OUTPUT.datatype, output.datatype)
  const { shape } = output
  if (shape.length > 0) {
    // Sizes below 128 take a byte each, which is nearly always so.
    if (shape.every((dimension) => dimension < 0x80)) {
      writer.tag(OUTPUT.shape, WIRE.bytes).uint32(shape.length)
      for (const dimension of shape) writer.uint32(dimension)
    } else {
      const packed = new ProtoWriter(0, 10 * shape.length)
      for (const dimension of shape) packed.int64(dimension)
      writer.bytes(OUTPUT.shape, packed.finish())
    }
  }
  if (typed) writer.bytes(OUTPUT.contents, contentsMessage(output))
  return writer.finish()
}

function contentsMessage({ name, datatype, data }: Tensor): Buffer {
  const field = CONTENTS[datatype]
  if (field === undefined)
    throw new SlipwayError(
      'SLW_BAD_REQUEST',
      `output "${name}": ${datatype} has no typed contents; ask for it without binary_data_output=false`,
    )
  const writer = new ProtoWriter(0, 16 + 2 * data.length)
  if (Array.isArray(data)) {
    for (const text of data) writer.text(field.number, text)
    return writer.finish()
  }
  if (data.length === 0) return writer.finish()
  if (field.wire === WIRE.varint) {
    const packed = new ProtoWriter(0, 16 + 2 * data.length)
    for (const value of data) packed.int64(value)
    return writer.bytes(field.number, packed.finish()).finish()
  }
  return writer.bytes(field.number, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).finish()
}

function parameterEntry(name: string, value: Parameters[string]): Buffer {
  const parameter = new ProtoWriter(0, 64)
  if (typeof value === 'boolean') parameter.tag(PARAMETER.bool, WIRE.varint).uint32(value ? 1 : 0)
  else if (typeof value === 'string') parameter.text(PARAMETER.text, value)
  else if (typeof value === 'bigint' || Number.isInteger(value)) parameter.tag(PARAMETER.int64, WIRE.varint).int64(value)
  else parameter.tag(PARAMETER.double, WIRE.fixed64).double(value)
  return new ProtoWriter(0, 128).text(1, name).bytes(2, parameter.finish()).finish()
}
