import { SlipwayError } from '../../core/errors.ts'
import { decodeBinary } from '../../tensor/binary.ts'
import { DATATYPES, isDatatype } from '../../tensor/datatype.ts'
import { JsonReader } from '../../tensor/json-reader.ts'
import { elementCount, formatShape } from '../../tensor/tensor.ts'
import { classCountOf } from './classification.ts'
import { refuseSharedMemory } from './shared-memory.ts'
import type { Datatype } from '../../tensor/datatype.ts'
import type { Tensor, TensorSpec } from '../../tensor/tensor.ts'
import type { RequestLimits } from '../limits.ts'
import type { Parameters, RequestedOutput, V2Request } from './types.ts'

export type { V2Request } from './types.ts'

const NO_PARAMETERS: Parameters = Object.freeze({})

/**
 * Reads the body of POST /v2/models/{name}/infer: JSON, or JSON followed by raw tensors (Triton's binary tensor data
 * extension), where `headerLength` is the value of Inference-Header-Content-Length.
 */
export function readV2Request(
  body: Buffer,
  headerLength: string | undefined,
  limits: RequestLimits,
  specs: readonly TensorSpec[],
): V2Request {
  if (headerLength === undefined) return parse(body, undefined, limits)
  const length = Number(headerLength)
  if (!Number.isInteger(length) || length < 0 || length > body.length) {
    throw new SlipwayError('SLW_BAD_REQUEST', `Inference-Header-Content-Length is "${headerLength}", the body has ${body.length} bytes`)
  }
  if (length === 0) return rawRequest(body, specs)
  return parse(body.subarray(0, length), new BinaryParts(body.subarray(length)), limits)
}

/** The raw tensors after the JSON, taken in the order of the inputs. */
class BinaryParts {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  take(size: number, name: string): Buffer {
    if (this.#at + size > this.#bytes.length) {
      throw new SlipwayError(
        'SLW_BAD_REQUEST',
        `input "${name}" announces ${size} bytes of binary data, ${this.#bytes.length - this.#at} are left in the body`,
      )
    }
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  end(): void {
    if (this.#at < this.#bytes.length)
      throw new SlipwayError('SLW_BAD_REQUEST', `${this.#bytes.length - this.#at} bytes of binary data belong to no input`)
  }
}

function parse(json: Buffer, binary: BinaryParts | undefined, limits: RequestLimits): V2Request {
  const reader = new JsonReader(json, { nesting: limits.jsonNesting })
  let id: string | undefined
  let parameters = NO_PARAMETERS
  let inputs: Tensor[] | undefined
  let outputs: RequestedOutput[] | undefined
  reader.enterObject()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    reader.path = key
    if (key === 'inputs') inputs = readInputs(reader, binary, limits)
    else if (key === 'outputs') outputs = readOutputs(reader)
    else if (key === 'id') id = readId(reader)
    else if (key === 'parameters') parameters = readParameters(reader)
    else reader.skipValue()
    reader.path = ''
  }
  reader.end()
  if (inputs === undefined)
    throw new SlipwayError('SLW_BAD_REQUEST', 'the request has no "inputs"; expected {"inputs": [{"name", "shape", "datatype", "data"}]}')
  binary?.end()
  return { id, parameters, inputs, outputs }
}

/** @returns undefined for null */
export function readId(reader: JsonReader): string | undefined {
  if (!reader.isNull()) return reader.readString()
  reader.skipValue()
  return undefined
}

function readParameters(reader: JsonReader): Parameters {
  const value = reader.readValue()
  if (value === null) return NO_PARAMETERS
  if (typeof value !== 'object' || Array.isArray(value)) throw reader.fail('expected an object')
  for (const [name, parameter] of Object.entries(value)) {
    if (typeof parameter === 'object') throw reader.fail(`parameter "${name}" must be a string, a number or a boolean`)
  }
  return value as Record<string, string | number | boolean | bigint>
}

function readInputs(reader: JsonReader, binary: BinaryParts | undefined, limits: RequestLimits): Tensor[] {
  const inputs: Tensor[] = []
  reader.enterArray()
  while (reader.nextElement(inputs.length === 0)) {
    const path = `inputs[${inputs.length}]`
    reader.path = path
    inputs.push(readInput(reader, binary, limits, path))
    reader.path = 'inputs'
  }
  return inputs
}

function readInput(reader: JsonReader, binary: BinaryParts | undefined, limits: RequestLimits, path: string): Tensor {
  let name: string | undefined
  let datatype: Datatype | undefined
  let shape: number[] | undefined
  let data: Tensor['data'] | undefined
  let dataOffset = -1
  let parameters = NO_PARAMETERS
  reader.enterObject()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    reader.path = `${path}.${key}`
    if (key === 'name') name = reader.readString()
    else if (key === 'datatype') {
      // Data that was read as one datatype must not be taken for another.
      if (datatype !== undefined) throw reader.fail('given twice')
      datatype = readDatatype(reader)
    } else if (key === 'shape') {
      if (shape !== undefined) throw reader.fail('given twice')
      shape = readShape(reader, limits)
    } else if (key === 'parameters') parameters = readParameters(reader)
    else if (key === 'data') {
      if (datatype !== undefined && shape !== undefined) data = reader.readTensorData(datatype, shape)
      else {
        // The datatype or shape comes later: the data is read after that.
        dataOffset = reader.offset
        reader.skipValue()
      }
    } else reader.skipValue()
    reader.path = path
  }
  if (name === undefined) throw reader.fail('"name" is missing')
  if (datatype === undefined) throw reader.fail('"datatype" is missing')
  if (shape === undefined) throw reader.fail('"shape" is missing')
  refuseSharedMemory(parameters, path)
  const size = parameters['binary_data_size']
  if (size !== undefined) return { name, datatype, shape, data: readBinary(reader, binary, { name, datatype, shape, size }) }
  if (data === undefined) {
    if (dataOffset < 0) throw reader.fail('"data" is missing')
    const end = reader.offset
    reader.seek(dataOffset)
    reader.path = `${path}.data`
    data = reader.readTensorData(datatype, shape)
    reader.seek(end)
  }
  return { name, datatype, shape, data }
}

function readBinary(
  reader: JsonReader,
  binary: BinaryParts | undefined,
  input: { name: string; datatype: Datatype; shape: readonly number[]; size: Parameters[string] },
): Tensor['data'] {
  const { name, datatype, shape, size } = input
  if (typeof size !== 'number' || !Number.isInteger(size) || size < 0) throw reader.fail('"binary_data_size" must be a size in bytes')
  if (binary === undefined) throw reader.fail('"binary_data_size" needs the header Inference-Header-Content-Length')
  return decodeBinary(binary.take(size, name), name, datatype, shape)
}

function readDatatype(reader: JsonReader): Datatype {
  const name = reader.readString()
  if (isDatatype(name)) return name
  throw reader.fail(`"${name}" is not a datatype of the protocol`)
}

function readShape(reader: JsonReader, limits: RequestLimits): number[] {
  const shape: number[] = []
  reader.enterArray()
  while (reader.nextElement(shape.length === 0)) {
    const dim = reader.readNumber()
    if (!Number.isSafeInteger(dim) || dim < 0) throw reader.fail(`dimension ${dim} is not a size`)
    shape.push(dim)
  }
  if (elementCount(shape) > limits.elements)
    throw new SlipwayError(
      'SLW_LIMIT_EXCEEDED',
      `${reader.path}: ${formatShape(shape)} has ${elementCount(shape)} elements, limits.elements is ${limits.elements}`,
    )
  return shape
}

function readOutputs(reader: JsonReader): RequestedOutput[] {
  const outputs: RequestedOutput[] = []
  reader.enterArray()
  while (reader.nextElement(outputs.length === 0)) {
    const path = `outputs[${outputs.length}]`
    reader.path = path
    let name: string | undefined
    let parameters = NO_PARAMETERS
    reader.enterObject()
    for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
      if (key === 'name') name = reader.readString()
      else if (key === 'parameters') parameters = readParameters(reader)
      else reader.skipValue()
    }
    if (name === undefined) throw reader.fail('"name" is missing')
    classCountOf(parameters, path)
    refuseSharedMemory(parameters, path)
    outputs.push({ name, parameters })
  }
  return outputs
}

/** Header value 0: the whole body is the one input, as raw bytes. */
function rawRequest(body: Buffer, specs: readonly TensorSpec[]): V2Request {
  const [spec] = specs
  if (specs.length !== 1 || spec === undefined)
    throw new SlipwayError('SLW_BAD_REQUEST', `a raw body needs a model with one input, this one has ${specs.length}`)
  const inputs = [{ name: spec.name, datatype: spec.datatype, ...rawTensor(body, spec) }]
  return { id: undefined, parameters: { binary_data_output: true }, inputs, outputs: undefined }
}

function rawTensor(body: Buffer, spec: TensorSpec): Pick<Tensor, 'shape' | 'data'> {
  if (spec.datatype === 'BYTES') {
    const shape = spec.shape.map((dim) => (dim === -1 ? 1 : dim))
    if (elementCount(shape) !== 1)
      throw new SlipwayError('SLW_BAD_REQUEST', `a raw body holds one BYTES element, input "${spec.name}" has ${formatShape(spec.shape)}`)
    return { shape, data: [body.toString('utf8')] }
  }
  // The first free dimension is the batch, of one; at most one other may be free and follows from the size of the body.
  const shape = spec.shape.map((dim, index) => (index === 0 && dim === -1 ? 1 : dim))
  const free = shape.filter((dim) => dim === -1).length
  if (free > 1 || spec.anyRank === true)
    throw new SlipwayError('SLW_BAD_REQUEST', `a raw body leaves the shape of input "${spec.name}" open: ${formatShape(spec.shape)}`)
  const elements = body.length / DATATYPES[spec.datatype].bytes
  const known = elementCount(shape.filter((dim) => dim !== -1))
  const filled = shape.map((dim) => (dim === -1 ? Math.floor(elements / known) : dim))
  return { shape: filled, data: decodeBinary(body, spec.name, spec.datatype, filled) }
}
