import { inputInvalid, SlipwayError } from '../core/errors.ts'
import { parseJson } from '../tensor/json-reader.ts'
import { csvText, keysMax, rowsFromCsv } from './csv.ts'
import { encodeRows } from './encode.ts'
import { encodeImages } from './image.ts'
import { copyTensor } from '../tensor/tensor.ts'
import { answerOutputs, decodeAnswers, LENGTHS } from './answer.ts'
import type { Answer } from './answer.ts'
import type { Encoded } from './encode.ts'
import type { Picture } from './image.ts'
import type { Signature } from './signature.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** A person's request: one item or many, as rows or pictures. */
export interface PeopleRequest {
  readonly rows: readonly unknown[]
  readonly pictures: readonly Picture[] | undefined
  /** Whether a list was sent, so that a list is answered. */
  readonly many: boolean
  /** Place of the rows in the request, for messages. */
  readonly path: string
}

const REQUEST_TYPES = ['application/json', 'text/csv', 'image/png', 'image/jpeg', 'application/octet-stream', 'multipart/form-data']

/** What a request may have at most. */
export interface ReadLimits {
  /** Rows; of CSV no more are read. Default: any number. */
  readonly rows?: number
  /** How deep JSON may nest. Default: 64. */
  readonly jsonNesting?: number
}

/**
 * Reads a request body in the friendly dialect:
 * JSON (a row, a list of rows, or either under `inputs`), CSV with a header line, or a picture as the raw body.
 * @throws SLW_UNSUPPORTED_MEDIA_TYPE, SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED
 */
export function readRequest(
  body: Buffer,
  contentType: string | undefined,
  signature: Signature,
  { rows, jsonNesting = 64 }: ReadLimits = {},
): PeopleRequest {
  const type = (contentType ?? 'application/json').split(';')[0]!.trim().toLowerCase()
  if (type === 'text/csv')
    return { rows: rowsFromCsv(csvText(body, charsetOf(contentType)), signature, rows), pictures: undefined, many: true, path: 'rows' }
  if (type.startsWith('image/') || (type === 'application/octet-stream' && signature.image !== undefined)) {
    return pictureRequest(body, 'body')
  }
  // curl sends `application/x-www-form-urlencoded` unless told otherwise: the body is then read as JSON.
  if (type !== 'application/json' && type !== 'application/x-www-form-urlencoded') {
    throw new SlipwayError('SLW_UNSUPPORTED_MEDIA_TYPE', `Content-Type "${type}" is not one of ${REQUEST_TYPES.join(', ')}`)
  }
  if (body.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', 'the body is empty; expected JSON, e.g. {"inputs": [...]}')
  const objects = Math.max(1_000_000, 2 * (rows ?? 0))
  return requestOf(parseJson(body, { nesting: jsonNesting, keys: keysMax(signature), objects }), signature)
}

/** The charset of a content type; undefined where it names none. */
function charsetOf(contentType: string | undefined): string | undefined {
  const [, quoted, plain] = /;\s*charset\s*=\s*(?:"([^"]*)"|([^;\s]*))/i.exec(contentType ?? '') ?? []
  return quoted ?? plain
}

/** A request of one picture. */
export function pictureRequest(bytes: Uint8Array, path: string): PeopleRequest {
  return { rows: [], pictures: [{ bytes, path }], many: false, path }
}

/** A request from a value that is already parsed, for the library and the command line. */
export function requestOf(value: unknown, signature: Signature): PeopleRequest {
  const wrapped = isObject(value) && 'inputs' in value && !namesInput(signature, 'inputs')
  if (wrapped) {
    const unknown = Object.keys(value).find((key) => !['inputs', 'model', 'id', 'parameters'].includes(key))
    if (unknown !== undefined)
      throw new SlipwayError('SLW_BAD_REQUEST', `unknown key "${unknown}" beside "inputs"`, {
        issues: [{ path: unknown, message: 'unknown key' }],
      })
  } else if (isObject(value)) refuseForeign(value, signature)
  const content: unknown = textsOf(wrapped ? value['inputs'] : value, signature)
  const many = Array.isArray(content) && !isSingleRow(content, signature)
  const rows: readonly unknown[] = many ? (content as unknown[]) : [content]
  return { ...rowsRequest(rows, 'inputs', signature), many }
}

/** A request of rows that were found already, in the form of another server. @param path place of the rows in the request */
export function rowsRequest(rows: readonly unknown[], path: string, { image }: Signature): PeopleRequest {
  const pictures = image === undefined ? undefined : rows.map((row, index) => pictureOf(row, `${path}[${index}]`, image.input))
  return { rows, pictures, many: true, path }
}

/** Texts in lists, `{"text": ["...", "..."]}`, as rows of one each; anything else as it is. */
function textsOf(content: unknown, signature: Signature): unknown {
  if (signature.text === undefined || !isObject(content) || !Array.isArray(content['text'])) return content
  const { text, text_pair: pairs, ...others } = content
  const [other] = Object.keys(others)
  const path = 'inputs'
  const refuse = (place: string, message: string): SlipwayError => inputInvalid([{ path: place, message }])
  if (other !== undefined) throw refuse(`${path}.${other}`, 'the model has no such feature; it has text, text_pair')
  if (pairs !== undefined && (!Array.isArray(pairs) || pairs.length !== text.length))
    throw refuse(`${path}.text_pair`, `expected a list of ${text.length} texts, one for each in text`)
  return text.map((one: unknown, index: number) => ({ text: one, text_pair: pairs?.[index] }))
}

/** Keys in which other servers take the rows. */
const FOREIGN_KEYS: Readonly<Record<string, string>> = {
  instances: 'TensorFlow Serving and KServe v1',
  dataframe_split: 'MLflow',
  dataframe_records: 'MLflow',
}

/** @throws SLW_BAD_REQUEST for a body in the form of another server */
function refuseForeign(value: Record<string, unknown>, signature: Signature): void {
  const key = Object.keys(FOREIGN_KEYS).find((name) => Object.hasOwn(value, name) && !namesInput(signature, name))
  if (key === undefined) return
  const message = `"${key}" belongs to the bodies of ${FOREIGN_KEYS[key]}; here rows are in "inputs": {"inputs": [...]}`
  throw new SlipwayError('SLW_BAD_REQUEST', message, { issues: [{ path: key, message: 'unknown key' }] })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function namesInput(signature: Signature, name: string): boolean {
  return signature.features?.some((feature) => feature.spec.name === name) ?? signature.inputs.some((input) => input.name === name)
}

/** A flat list of values is one row where a row has several values; otherwise a list is a list of rows. */
function isSingleRow(list: readonly unknown[], signature: Signature): boolean {
  if (!signature.hasRows) return true
  if (signature.text !== undefined) return false
  if (list.length === 0 || signature.image !== undefined || list.some((element) => Array.isArray(element) || isObject(element)))
    return false
  if (signature.features !== undefined) return signature.features.length > 1
  const [only] = signature.inputs
  return signature.inputs.length === 1 && only !== undefined && only.shape.length > 1 && !(only.shape.length === 2 && only.shape[1] === 1)
}

function pictureOf(row: unknown, path: string, input: string): Picture {
  const value = isObject(row) ? (row['image'] ?? row['b64'] ?? row[input]) : row
  const text = typeof value === 'string' ? value.replace(/^data:image\/\w+;base64,/, '') : undefined
  const place = isObject(row) ? `${path}.image` : path
  if (text === undefined || !/^[A-Za-z0-9+/_-]+={0,2}\s*$/.test(text)) {
    throw new SlipwayError('SLW_INPUT_INVALID', `${place}: expected a picture as base64 text`, {
      issues: [{ path: place, message: 'expected a picture as base64 text' }],
    })
  }
  return { bytes: Buffer.from(text, 'base64'), path: place }
}

/** The request as tensors. @param elementsMax see `encodeRows` */
export async function encodeRequest(signature: Signature, request: PeopleRequest, elementsMax?: number): Promise<Encoded> {
  if (request.pictures === undefined) return encodeRows(signature, request.rows, request.path, elementsMax)
  return { inputs: await encodeImages(signature, request.pictures), rows: request.pictures.length, warnings: [] }
}

/** A person's request as tensors to run, and the decoder of their results. */
export interface Question extends Encoded {
  /** Names of the outputs that the answers are made of. */
  readonly outputs: readonly string[]
  /** Inputs that the answers name. */
  readonly asked: readonly Tensor[]
  readonly answer: (results: readonly Tensor[]) => Answer[]
}

/** Prepares a request; server, library and command line share this path, and run the tensors themselves. */
export async function prepareQuestion(signature: Signature, request: PeopleRequest): Promise<Question> {
  return questionOf(signature, await encodeRequest(signature, request))
}

/** Tokens of each row, for answers that are made of those of single tokens. */
function lengthsOf({ lengths }: Encoded): Tensor[] {
  if (lengths === undefined) return []
  return [{ name: LENGTHS, datatype: 'INT32', shape: [lengths.length], data: Int32Array.from(lengths) }]
}

/** A request whose tensors are made already. */
export function questionOf(signature: Signature, encoded: Encoded): Question {
  // A ranking's answer needs the items that were asked about; the run may take the memory of its inputs away.
  const asked = signature.answer.task === 'ranking' ? encoded.inputs.map(copyTensor) : lengthsOf(encoded)
  return {
    ...encoded,
    asked,
    outputs: answerOutputs(signature),
    answer: (results) => decodeAnswers(signature, results, asked, encoded.rows),
  }
}
