/** The generate extension of Triton (its docs/protocol/extension_generate.md): an object whose members are inputs and parameters, and one of outputs. */
import { SlipwayError } from '../../core/errors.ts'
import { JsonReader } from '../../tensor/json-reader.ts'
import { tensorDataToJson } from '../../tensor/json-writer.ts'
import { elementCount, formatShape } from '../../tensor/tensor.ts'
import { readId } from './request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Subject } from '../../serving/observe/events.ts'
import type { Tensor, TensorSpec } from '../../tensor/tensor.ts'
import type { RequestLimits } from '../limits.ts'
import type { V2Request } from './types.ts'

type Parameter = V2Request['parameters'][string]

/**
 * Reads the body of POST /v2/models/{name}/generate. A member with the name of an input is that input, of one row: a value, or a list of
 * the values of that row; where an input has no other dimension than rows, a list has a value for each row. `parameters` holds further
 * members; every other member is a parameter of the request.
 * @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED
 */
export function readGenerateRequest(
  body: Buffer,
  { inputs, hasRows }: Pick<Signature, 'inputs' | 'hasRows'>,
  limits: RequestLimits,
): V2Request {
  const reader = new JsonReader(body, { nesting: limits.jsonNesting })
  const tensors = new Map<string, Tensor>()
  const parameters: Record<string, Parameter> = {}
  let id: string | undefined
  const member = (key: string): void => {
    const spec = inputs.find(({ name }) => name === key)
    if (spec === undefined) {
      const value = parameterOf(reader, inputs)
      if (value !== undefined) parameters[key] = value
      return
    }
    if (tensors.has(key)) throw reader.fail('given twice')
    tensors.set(key, readInput(reader, { spec, hasRows }, limits))
  }
  reader.enterObject()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    reader.path = key
    const isInput = inputs.some(({ name }) => name === key)
    if (key === 'id' && !isInput) id = readId(reader)
    else if (key === 'parameters' && !isInput) {
      if (reader.isNull()) reader.skipValue()
      else {
        reader.enterObject()
        for (let inner = reader.nextKey(true); inner !== undefined; inner = reader.nextKey(false)) {
          reader.path = `parameters.${inner}`
          member(inner)
        }
      }
    } else member(key)
    reader.path = ''
  }
  reader.end()
  return { id, parameters, inputs: [...tensors.values()], outputs: undefined }
}

/** @returns undefined for null */
function parameterOf(reader: JsonReader, inputs: readonly TensorSpec[]): Parameter | undefined {
  const value = reader.readValue()
  if (value === null) return undefined
  if (typeof value !== 'object') return value
  throw reader.fail(
    `is no input of the model, which has ${inputs.map(({ name }) => name).join(', ')}; a parameter is a string, a number or a boolean`,
  )
}

function readInput(
  reader: JsonReader,
  { spec, hasRows }: { readonly spec: TensorSpec; readonly hasRows: boolean },
  limits: RequestLimits,
): Tensor {
  const { name, datatype } = spec
  const start = reader.offset
  const count = countValues(reader)
  if (count !== undefined && count > limits.elements)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${reader.path}: has ${count} elements, limits.elements is ${limits.elements}`)
  const shape = shapeFor(spec, hasRows, count ?? 1)
  if (typeof shape === 'string') throw reader.fail(shape)
  const end = reader.offset
  reader.seek(start)
  const data = reader.readTensorData(datatype, count === undefined ? [] : [count])
  reader.seek(end)
  return { name, datatype, shape, data }
}

/** Passes a value. @returns the number of values of a list; undefined for a value alone */
function countValues(reader: JsonReader): number | undefined {
  if (!reader.isArray()) {
    reader.skipValue()
    return undefined
  }
  let count = 0
  reader.enterArray()
  for (; reader.nextElement(count === 0); count++) reader.skipValue()
  return count
}

/** The shape of so many values as one row of an input; a text where they are none. At most one dimension of a row may be free. */
function shapeFor({ shape, anyRank, datatype }: TensorSpec, hasRows: boolean, count: number): readonly number[] | string {
  if (anyRank === true) return [count]
  if (hasRows && shape.length === 1) return [count]
  const dims = hasRows ? [1, ...shape.slice(1)] : shape
  const known = elementCount(dims.filter((dim) => dim !== -1))
  const free = dims.filter((dim) => dim === -1).length
  const expected = `the input takes ${datatype} ${formatShape(dims)}`
  if (free > 1) return `a list of values leaves the shape open: ${expected}; send it to /infer with its shape`
  const rest = known === 0 ? 0 : count / known
  if (free === 1 ? !Number.isInteger(rest) : rest !== 1) return `has ${count} value${count === 1 ? '' : 's'}, ${expected}`
  return dims.map((dim) => (dim === -1 ? rest : dim))
}

/** The answer, or one part of it: an output of one value as that, another one as a flat list. */
export function writeGenerateResponse({ id }: Pick<V2Request, 'id'>, { endpoint, version }: Subject, outputs: readonly Tensor[]): string {
  const known = { ...(id !== undefined && id !== '' && { id }), model_name: endpoint, model_version: version }
  const values = outputs.map((output) => {
    const list = tensorDataToJson(output)
    return `,${JSON.stringify(output.name)}:${output.data.length === 1 ? list.slice(1, -1) : list}`
  })
  return `${JSON.stringify(known).slice(0, -1)}${values.join('')}}`
}
