/** ModelInferRequest, read by hand: the bytes of tensors meet no library, and stay where they are until they are tensors. */
import { SlipwayError } from '../../../core/errors.ts'
import { ProtoReader, WIRE } from '../proto/wire.ts'
import type { Parameters, RequestedOutput } from '../../v2/types.ts'

/** A tensor as it lies in a message. */
export interface GivenTensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly parameters: Parameters
  /** The message InferTensorContents; undefined where there is none. */
  readonly contents: Buffer | undefined
}

/** A request of gRPC, its tensors not read yet. */
export interface GivenRequest {
  readonly model: string
  readonly version: string | undefined
  readonly id: string | undefined
  readonly parameters: Parameters
  readonly inputs: readonly GivenTensor[]
  /** Undefined: all of them. */
  readonly outputs: readonly RequestedOutput[] | undefined
  readonly raw: readonly Buffer[]
}

const NO_PARAMETERS: Parameters = Object.freeze({})
/** Field numbers. */
const REQUEST = { model: 1, version: 2, id: 3, parameters: 4, inputs: 5, outputs: 6, raw: 7 } as const
const INPUT = { name: 1, datatype: 2, shape: 3, parameters: 4, contents: 5 } as const
const OUTPUT = { name: 1, parameters: 2 } as const
const PARAMETER = { bool: 1, int64: 2, text: 3, double: 4, uint64: 5 } as const
/** Tensors of one message: more are no request of any model. */
const TENSORS_MAX = 10_000
/** Fields of one message at every depth, but for values: reading tens of millions of them would take seconds. */
const FIELDS_MAX = 200_000

/** Counts the fields of a message. */
class Fields {
  #left = FIELDS_MAX

  /** The next tag, as of `ProtoReader.tag`. @throws SLW_LIMIT_EXCEEDED */
  next(reader: ProtoReader): number {
    if (this.#left-- === 0) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has more than ${FIELDS_MAX} fields`)
    return reader.tag()
  }
}

/** @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED */
export function readInferRequest(message: Buffer): GivenRequest {
  const reader = new ProtoReader(message)
  const fields = new Fields()
  let model = ''
  let version = ''
  let id = ''
  let parameters = NO_PARAMETERS
  const inputs: GivenTensor[] = []
  let outputs: RequestedOutput[] | undefined
  const raw: Buffer[] = []
  for (let tag = fields.next(reader); tag !== 0; tag = fields.next(reader)) {
    const field = tag >>> 3
    if (field === 0 || field > REQUEST.raw) {
      reader.skip(tag)
      continue
    }
    reader.require(tag, WIRE.bytes)
    switch (field) {
      case REQUEST.model:
        model = reader.text()
        break
      case REQUEST.version:
        version = reader.text()
        break
      case REQUEST.id:
        id = reader.text()
        break
      case REQUEST.parameters:
        parameters = withParameter(parameters, reader.message(), fields)
        break
      case REQUEST.inputs:
        inputs.push(readInput(reader.message(), fields))
        break
      case REQUEST.outputs:
        ;(outputs ??= []).push(readOutput(reader.message(), fields))
        break
      case REQUEST.raw:
        raw.push(reader.view())
        break
    }
    if (inputs.length > TENSORS_MAX || raw.length > TENSORS_MAX || (outputs?.length ?? 0) > TENSORS_MAX)
      throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has more than ${TENSORS_MAX} tensors`)
  }
  return { model, version: version === '' ? undefined : version, id: id === '' ? undefined : id, parameters, inputs, outputs, raw }
}

function readInput(reader: ProtoReader, fields: Fields): GivenTensor {
  let name = ''
  let datatype = ''
  const shape: number[] = []
  let parameters = NO_PARAMETERS
  let contents: Buffer | undefined
  for (let tag = fields.next(reader); tag !== 0; tag = fields.next(reader)) {
    const field = tag >>> 3
    if (field === INPUT.shape) {
      if ((tag & 7) === WIRE.varint) shape.push(readSize(reader))
      else {
        reader.require(tag, WIRE.bytes)
        const packed = reader.message()
        while (packed.at < packed.end && shape.length <= DIMENSIONS_MAX) shape.push(readSize(packed))
      }
      if (shape.length > DIMENSIONS_MAX)
        throw new SlipwayError('SLW_LIMIT_EXCEEDED', `input "${name}": a shape of more than ${DIMENSIONS_MAX} dimensions`)
      continue
    }
    if (field > INPUT.contents) {
      reader.skip(tag)
      continue
    }
    reader.require(tag, WIRE.bytes)
    if (field === INPUT.name) name = reader.text()
    else if (field === INPUT.datatype) datatype = reader.text()
    else if (field === INPUT.parameters) parameters = withParameter(parameters, reader.message(), fields)
    else contents = contents === undefined ? reader.view() : Buffer.concat([contents, reader.view()])
  }
  return { name, datatype, shape, parameters, contents }
}

const DIMENSIONS_MAX = 64

function readSize(reader: ProtoReader): number {
  const first = reader.bytes[reader.at]
  if (first !== undefined && first < 0x80 && reader.at < reader.end) {
    reader.at++
    return first
  }
  return Number(reader.int64())
}

function readOutput(reader: ProtoReader, fields: Fields): RequestedOutput {
  let name = ''
  let parameters = NO_PARAMETERS
  for (let tag = fields.next(reader); tag !== 0; tag = fields.next(reader)) {
    if (tag >>> 3 > OUTPUT.parameters) {
      reader.skip(tag)
      continue
    }
    reader.require(tag, WIRE.bytes)
    if (tag >>> 3 === OUTPUT.name) name = reader.text()
    else parameters = withParameter(parameters, reader.message(), fields)
  }
  return { name, parameters }
}

/** Parameters with one entry more of the map that they are. */
function withParameter(parameters: Parameters, entry: ProtoReader, fields: Fields): Parameters {
  let key = ''
  let value: Parameters[string] | undefined
  for (let tag = fields.next(entry); tag !== 0; tag = fields.next(entry)) {
    if (tag >>> 3 > 2) {
      entry.skip(tag)
      continue
    }
    entry.require(tag, WIRE.bytes)
    if (tag >>> 3 === 1) key = entry.text()
    else value = readParameter(entry.message(), fields)
  }
  if (value === undefined) throw new SlipwayError('SLW_BAD_REQUEST', `parameter "${key}" has no value`)
  const all: Record<string, Parameters[string]> = parameters === NO_PARAMETERS ? {} : (parameters as Record<string, Parameters[string]>)
  // A name from outside may be that of the prototype.
  Object.defineProperty(all, key, { value, enumerable: true, configurable: true, writable: true })
  return all
}

function readParameter(reader: ProtoReader, fields: Fields): Parameters[string] | undefined {
  let value: Parameters[string] | undefined
  for (let tag = fields.next(reader); tag !== 0; tag = fields.next(reader)) {
    const field = tag >>> 3
    const type = field === PARAMETER.text ? WIRE.bytes : field === PARAMETER.double ? WIRE.fixed64 : WIRE.varint
    if (field > PARAMETER.uint64) {
      reader.skip(tag)
      continue
    }
    reader.require(tag, type)
    if (field === PARAMETER.bool) value = reader.bool()
    else if (field === PARAMETER.int64) value = numberOf(reader.int64())
    else if (field === PARAMETER.text) value = reader.text()
    else if (field === PARAMETER.double) value = reader.double()
    else value = numberOf(reader.uint64())
  }
  return value
}

function numberOf(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
