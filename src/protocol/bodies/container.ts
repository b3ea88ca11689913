/** Bodies of a SageMaker container: CSV without a header line, JSON, JSON Lines, NumPy's arrays, pictures; and its answers in the same forms. */
import { inputInvalid, messageOf, SlipwayError } from '../../core/errors.ts'
import { decodeAnswers } from '../../signature/answer.ts'
import { cellsFromCsv, csvText } from '../../signature/csv.ts'
import { pictureRequest, readRequest, requestOf, rowsRequest } from '../../signature/request.ts'
import { checkTensors } from '../../signature/tensors.ts'
import { castTensor } from '../../tensor/cast.ts'
import { parseJson } from '../../tensor/json-reader.ts'
import { toJson } from '../../tensor/json-writer.ts'
import { readNpy, writeNpy } from '../../tensor/npy.ts'
import { encodeWithin } from './encode-within.ts'
import { isObject, parseRows } from './tables.ts'
import { requireRowsMax } from './row-limits.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { PeopleRequest } from '../../signature/request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { JsonValue } from '../../tensor/json-reader.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { RequestLimits } from '../limits.ts'
import type { Reading, Written } from './types.ts'

/** A body of a container, as tensors. */
export interface ContainerRead extends Encoded {
  /** Whether rows were sent, so that rows are answered, and not one row by itself. */
  readonly many: boolean
}

/** The forms of answers. */
export const CONTAINER_TYPES = ['application/json', 'text/csv', 'application/jsonlines', 'application/x-npy'] as const
export type ContainerType = (typeof CONTAINER_TYPES)[number]

const READ_TYPES = [...CONTAINER_TYPES, 'image/png', 'image/jpeg']
const LINE_FEED = 0x0a

/** @throws SLW_UNSUPPORTED_MEDIA_TYPE, SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
export async function readContainer({ body, header, signature, limits }: Reading): Promise<ContainerRead> {
  const [type = '', ...parameters] = (header ?? 'application/json').split(';').map((part) => part.trim().toLowerCase())
  if (type === 'application/x-npy') return readArray(body, signature, limits)
  const people = peopleOf(type, parameters, { body, header, signature, limits })
  return { ...(await encodeWithin(limits, signature, people)), many: people.many }
}

function peopleOf(type: string, parameters: readonly string[], { body, header, signature, limits }: Reading): PeopleRequest {
  switch (type) {
    case 'application/json':
      return requestOfJson(parseRows(body, signature, limits), signature)
    case 'application/jsonlines':
    case 'application/x-jsonlines':
      return rowsRequest(rowsOfLines(body, signature, limits), 'lines', signature)
    case 'text/csv':
      // Those who do send a header line say so, as RFC 4180 has it.
      return parameters.includes('header=present')
        ? readRequest(body, header, signature, limits)
        : rowsRequest(cellsFromCsv(csvText(body), signature, limits.rows), 'rows', signature)
    case 'application/x-image':
      return pictureRequest(body, 'body')
    case 'application/x-recordio-protobuf':
      throw unsupported('RecordIO-protobuf is not read here; send CSV, JSON, JSON Lines or application/x-npy')
    default:
      if (type.startsWith('image/') || (type === 'application/octet-stream' && signature.image !== undefined))
        return pictureRequest(body, 'body')
      throw unsupported(`Content-Type "${type}" is not one of ${READ_TYPES.join(', ')}`)
  }
}

function unsupported(message: string): SlipwayError {
  return new SlipwayError('SLW_UNSUPPORTED_MEDIA_TYPE', message)
}

function requestOfJson(root: JsonValue, signature: Signature): PeopleRequest {
  if (!isObject(root) || root['instances'] === undefined || names(signature).has('instances')) return requestOf(root, signature)
  const { instances, configuration: _configuration, ...rest } = root
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw inputInvalid([{ path: unknown, message: 'unknown key beside "instances"' }], 'SLW_BAD_REQUEST')
  if (!Array.isArray(instances)) throw inputInvalid([{ path: 'instances', message: 'expected a list of rows' }], 'SLW_BAD_REQUEST')
  const rows = instances.map((row) => valuesOf(row, signature))
  return rowsRequest(rows, 'instances', signature)
}

/** SageMaker's own algorithms have the values of a row under "features", also as `{"data": {"features": {"values": []}}}`. */
function valuesOf(row: JsonValue, signature: Signature): JsonValue {
  if (!isObject(row) || names(signature).has('features')) return row
  const features = row['features'] ?? (isObject(row['data']) ? row['data']['features'] : undefined)
  if (features === undefined) return row
  return isObject(features) && Array.isArray(features['values']) ? features['values'] : features
}

function names({ features, inputs }: Signature): ReadonlySet<string> {
  return new Set(features?.map(({ spec }) => spec.name) ?? inputs.map(({ name }) => name))
}

/** One row of JSON on each line. */
function rowsOfLines(body: Buffer, signature: Signature, limits: RequestLimits): JsonValue[] {
  const rows: JsonValue[] = []
  for (let start = 0, line = 1; start < body.length; line++) {
    const feed = body.indexOf(LINE_FEED, start)
    const end = feed < 0 ? body.length : feed
    const text = body.subarray(start, end)
    start = end + 1
    if (isBlank(text)) continue
    requireRowsMax(rows.length + 1, limits)
    try {
      rows.push(valuesOf(parseJson(text, { nesting: limits.jsonNesting }), signature))
    } catch (error) {
      throw new SlipwayError('SLW_BAD_REQUEST', `line ${line}: ${messageOf(error)}`)
    }
  }
  if (rows.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', 'the body is empty; expected a row of JSON on each line')
  return rows
}

function isBlank(text: Buffer): boolean {
  return text.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}

/** An array is the only input of the model, of whatever datatype of numbers it is. */
function readArray(body: Buffer, signature: Signature, limits: RequestLimits): ContainerRead {
  const [only] = signature.inputs
  if (only === undefined || signature.inputs.length !== 1)
    throw unsupported(
      `the model has ${signature.inputs.length} inputs (${signature.inputs.map(({ name }) => name).join(', ')}), an array is one; send JSON`,
    )
  const array = readNpy(body, only.name, limits.elements)
  const { inputs, rows, warnings } = checkTensors(signature, [castTensor(array, only.datatype)])
  requireRowsMax(rows, limits)
  return { inputs, rows, warnings, many: true }
}

/** An answer of a container, before it is written. */
export interface ContainerAnswer {
  readonly signature: Signature
  readonly outputs: readonly Tensor[]
  /** Inputs that the answer names. */
  readonly asked: readonly Tensor[]
  readonly rows: number
  readonly many: boolean
  readonly type: ContainerType
}

export function writeContainer({ signature, outputs, asked, rows, many, type }: ContainerAnswer): Written {
  if (type === 'application/x-npy') return { body: writeNpy(arrayOf(signature, outputs)), headerLength: undefined }
  const answers = decodeAnswers(signature, outputs, asked, rows)
  return { body: textOf(answers, many, type), headerLength: undefined }
}

function textOf(answers: readonly Readonly<Record<string, unknown>>[], many: boolean, type: ContainerType): string {
  if (type === 'text/csv') return answers.map((answer) => `${cellsOf(answer).join(',')}\n`).join('')
  if (type === 'application/jsonlines') return answers.map((answer) => `${toJson(answer)}\n`).join('')
  return many ? `{"predictions":${toJson(answers)}}` : toJson(answers[0])
}

/** The values of an answer in their order, one after the other. */
function cellsOf(value: unknown): string[] {
  if (value === null || value === undefined) return ['']
  if (typeof value === 'object') return Object.values(value).flatMap(cellsOf)
  const text = String(value)
  return [/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text]
}

/** The output that is the answer as an array: probabilities rather than labels. @throws SLW_BAD_REQUEST for several */
function arrayOf({ answer }: Signature, outputs: readonly Tensor[]): Tensor {
  const wanted = answer.task === 'classification' ? (answer.probabilities ?? answer.label) : undefined
  const tensor = outputs.find(({ name }) => name === wanted) ?? (outputs.length === 1 ? outputs[0] : undefined)
  if (tensor !== undefined) return tensor
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `the answer has ${outputs.length} arrays (${outputs.map(({ name }) => name).join(', ')}), application/x-npy is one; ask for JSON`,
  )
}
