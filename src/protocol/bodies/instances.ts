/**
 * Bodies of rows or columns, as the servers have them that grew out of TensorFlow Serving: KServe's first protocol, Vertex AI. A
 * body is an object with the rows under one of a few keys. Rows of models with features are people's; those of others are tensors, which
 * are read straight into typed memory.
 */
import { SlipwayError } from '../../core/errors.ts'
import { keysMax } from '../../signature/csv.ts'
import { requestOf, rowsRequest } from '../../signature/request.ts'
import { checkTensors } from '../../signature/tensors.ts'
import { JsonReader } from '../../tensor/json-reader.ts'
import { base64Of, JsonStack } from '../../tensor/json-stack.ts'
import { allocate } from '../../tensor/tensor.ts'
import { encodeWithin } from './encode-within.ts'
import { requireRowsMax } from './row-limits.ts'
import { isObject } from './tables.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { Signature } from '../../signature/signature.ts'
import type { JsonValue } from '../../tensor/json-reader.ts'
import type { Tensor, TensorSpec } from '../../tensor/tensor.ts'
import type { RequestLimits } from '../limits.ts'

/** A body of rows or columns, as tensors. */
export interface BatchRead extends Encoded {
  /** Key that they came under. */
  readonly key: BatchKey
  /** Whether each row was a value by itself where the model takes lists of one: its answers are values by themselves, too. */
  readonly bare: boolean
  /** The other members of the body. */
  readonly beside: Readonly<Record<string, JsonValue>>
}

/** What a dialect takes. */
export interface BatchForm {
  /** Keys for rows or columns: a body has exactly one of them. */
  readonly keys: readonly BatchKey[]
  /** Members that may stand beside it. */
  readonly beside: readonly string[]
  /** Whether null stands for NaN in tensors of float numbers. Default: it is refused. In people's rows it always does. */
  readonly nulls?: boolean
  /** Whether a body may have no rows. Default: it may. */
  readonly empty?: false
}

/** What bodies are read by, and what they may take. */
export interface BatchReading {
  readonly signature: Signature
  readonly limits: RequestLimits
  readonly form: BatchForm
}

/**
 * `instances`: rows, each an object, a list or a value. `inputs`: a tensor, or one for each name, with all rows in it. `examples`: rows as
 * objects, to which the values of `context` beside them are added.
 */
export type BatchKey = 'instances' | 'inputs' | 'examples'

type Read = Encoded & { readonly bare: boolean }
type Beside = Readonly<Record<string, JsonValue>>
/** Reads the value of a key: at once into tensors, or into what tensors are made of once the whole body is known. */
type ReadValue = (reader: JsonReader, path: BatchKey, reading: BatchReading) => Read | ((beside: Beside) => Promise<Read>)

const READ: Readonly<Record<BatchKey, ReadValue>> = {
  instances: readRows,
  inputs: readColumns,
  examples(reader, path, reading) {
    const rows = listOf(reader.readValue(), path)
    return ({ context = {} }) => encoded(examplesOf(rows, context, path, reading.signature), path, reading)
  },
}

/** A reader of a body, with limits that fit the signature. */
export function batchReader(json: Buffer, { signature, limits }: Pick<BatchReading, 'signature' | 'limits'>): JsonReader {
  return new JsonReader(json, {
    nesting: limits.jsonNesting,
    keys: keysMax(signature),
    objects: Math.max(1_000_000, 2 * limits.rows),
  })
}

/** Reads a whole body. @throws as `readBatch` */
export async function readBatchBody(json: Buffer, reading: BatchReading): Promise<BatchRead> {
  if (json.length === 0) throw new SlipwayError('SLW_BAD_REQUEST', `the body is empty; expected JSON with ${namesOf(reading.form.keys)}`)
  const reader = batchReader(json, reading)
  const read = await readBatch(reader, reading)
  reader.end()
  return read
}

/** Reads the object that comes next. @throws SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
export async function readBatch(reader: JsonReader, reading: BatchReading): Promise<BatchRead> {
  const { keys, beside: allowed } = reading.form
  const beside: Record<string, JsonValue> = Object.create(null) as Record<string, JsonValue>
  let found: { readonly key: BatchKey; readonly read: ReturnType<ReadValue> } | undefined
  if (!reader.isObject()) throw reader.fail(`expected an object with ${namesOf(keys)}`)
  reader.enterObject()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    reader.path = key
    const own = keys.find((one) => one === key)
    if (own !== undefined) {
      if (found !== undefined) throw reader.fail(`there is "${found.key}" already; send one of ${namesOf(keys)}, once`)
      found = { key: own, read: READ[own](reader, own, reading) }
    } else if (allowed.includes(key)) beside[key] = reader.readValue()
    else throw reader.fail(`unknown key; expected ${namesOf([...keys, ...allowed])}`)
    reader.path = ''
  }
  if (found === undefined) throw new SlipwayError('SLW_BAD_REQUEST', `the body has no ${namesOf(keys)}`)
  const { key, read } = found
  return { ...(typeof read === 'function' ? await read(beside) : read), key, beside }
}

function namesOf(keys: readonly string[]): string {
  return keys.map((key) => `"${key}"`).join(' or ')
}

function rowsFrom(columns: readonly string[], data: readonly (readonly unknown[])[]): readonly unknown[] {
  return data.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])))
}

function listOf(value: JsonValue, path: string): readonly JsonValue[] {
  if (Array.isArray(value)) return value
  throw invalid(path, 'expected a list of rows')
}

/** Examples with what they share. A list of one is a value where one is taken, and bytes are texts where the model takes no pictures. */
function examplesOf(rows: readonly JsonValue[], context: JsonValue, path: string, signature: Signature): readonly unknown[] {
  if (!isObject(context)) throw invalid('context', 'expected an object')
  const { features, inputs, image } = signature
  const single = new Set(
    features?.filter(({ spec }) => spec.length === undefined).map(({ spec }) => spec.name) ??
      inputs.filter(({ shape }) => shape.length === 1).map(({ name }) => name),
  )
  return rows.map((row, index) => {
    if (!isObject(row)) throw invalid(`${path}[${index}]`, 'expected an object')
    const both = Object.keys(row).find((name) => Object.hasOwn(context, name))
    if (both !== undefined) throw invalid(`${path}[${index}].${both}`, 'is in the context, too')
    const values = Object.entries({ ...context, ...row })
    return Object.fromEntries(
      values.map(([name, value]) => {
        const one = Array.isArray(value) && value.length === 1 && single.has(name) ? value[0] : value
        return [name, image === undefined ? (base64Of(one)?.toString() ?? one) : one]
      }),
    )
  })
}

/** Rows: people's, pictures, or parts of tensors, as the model and the first of them have it. */
function readRows(reader: JsonReader, path: BatchKey, reading: BatchReading): ReturnType<ReadValue> {
  if (!reader.isArray()) throw reader.fail('expected a list of rows')
  if (!isOfPeople(reader, reading.signature)) return stackRows(reader, path, reading)
  const rows = listOf(reader.readValue(), path)
  return () => encoded(rows, path, reading)
}

/** Whether a list has people's rows or pictures, and not parts of tensors: as its first element has it. */
function isOfPeople(reader: JsonReader, signature: Signature): boolean {
  const { features, image, inputs } = signature
  if (features === undefined && image === undefined) return false
  const first = reader.ahead(() => {
    reader.enterArray()
    return reader.nextElement(true) ? reader.readValue() : undefined
  })
  if (first === undefined) return true
  if (isObject(first)) return base64Of(first) !== undefined || !namesInputs(Object.keys(first), signature)
  if (!Array.isArray(first)) return true
  // A list for people has a value for each feature, that of a tensor one for each of its columns.
  return features !== undefined && (inputs.length > 1 || first.length === features.length || first.length !== inputs[0]?.shape.at(-1))
}

/** Whether names are those of inputs, and none of them means more to people: a feature, or a picture. */
function namesInputs(names: readonly string[], { features, image, inputs }: Signature): boolean {
  const ofPeople = new Set([...(features?.map(({ spec }) => spec.name) ?? []), image?.input])
  return names.length > 0 && names.every((name) => !ofPeople.has(name) && inputs.some((input) => input.name === name))
}

/** Columns: a list with all rows, or an object of lists. */
function readColumns(reader: JsonReader, path: BatchKey, reading: BatchReading): ReturnType<ReadValue> {
  if (reader.isArray()) return readRows(reader, path, reading)
  const { signature } = reading
  const firstKey = reader.isObject()
    ? reader.ahead(() => {
        reader.enterObject()
        return reader.nextKey(true)
      })
    : undefined
  if (firstKey === undefined || (firstKey === 'b64' && !namesInputs(['b64'], signature))) {
    const stack = stackOf(onlyInput(reader, signature), reading)
    stack.add(reader)
    return checked([stack.tensor(false)], reading)
  }
  const { features } = signature
  if (features !== undefined && !namesInputs([firstKey], signature)) {
    const rows = transposed(reader.readValue(), path)
    return () => encoded(rows, path, reading)
  }
  const tensors: Tensor[] = []
  let bare = true
  reader.enterObject()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    reader.path = `${path}.${key}`
    const spec = inputNamed(reader, key, signature)
    const stack = stackOf(spec, reading)
    stack.add(reader)
    const [rows, ...row] = stack.shape ?? []
    const ones = rows === undefined ? undefined : onesOf(spec, row)
    bare &&= ones !== undefined
    tensors.push(stack.tensor(false, ones === undefined ? undefined : [rows!, ...ones]))
  }
  return { ...checked(tensors, reading), bare }
}

/** Columns as rows. */
function transposed(value: JsonValue, path: string): readonly unknown[] {
  const columns = Object.entries(value as Readonly<Record<string, JsonValue>>)
  const count = Array.isArray(columns[0]?.[1]) ? columns[0][1].length : 0
  for (const [name, column] of columns) {
    if (!Array.isArray(column)) throw invalid(`${path}.${name}`, 'expected a list with a value for each row')
    if (column.length !== count) throw invalid(`${path}.${name}`, `has ${column.length} rows, "${columns[0]![0]}" has ${count}`)
  }
  return rowsFrom(
    columns.map(([name]) => name),
    Array.from({ length: count }, (_, index) => columns.map(([, column]) => (column as JsonValue[])[index])),
  )
}

/** Reads rows into the tensors of which they are parts. */
function stackRows(reader: JsonReader, path: BatchKey, reading: BatchReading): Read {
  const { signature, limits, form } = reading
  const stacks = new Map<string, JsonStack>()
  const stackFor = (spec: TensorSpec): JsonStack => {
    const stack = stacks.get(spec.name) ?? stackOf(spec, reading)
    stacks.set(spec.name, stack)
    return stack
  }
  let byName: boolean | undefined
  let rows = 0
  reader.enterArray()
  for (; reader.nextElement(rows === 0); rows++) {
    if (rows === limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has more than ${limits.rows} rows (limits.rows)`)
    const place = (reader.path = `${path}[${rows}]`)
    const named = reader.isObject() && !isBase64(reader, signature)
    byName ??= named
    if (named !== byName)
      throw reader.fail(named ? 'expected a value or a list as before, found an object' : 'expected an object as before')
    if (named) readNamedRow(reader, place, signature, stackFor)
    else stackFor(onlyInput(reader, signature)).add(reader)
    reader.path = place
    for (const [name, { count }] of stacks)
      if (count !== rows + 1)
        throw reader.fail(`"${name}" has ${count} values for ${rows + 1} rows: each row has the same inputs, each of them once`)
  }
  reader.path = path
  if (rows === 0) {
    if (form.empty === false) throw reader.fail('there are no rows')
    return checked(emptyTensors(signature), reading)
  }
  let bare = true
  const tensors = [...stacks].map(([name, stack]) => {
    const ones = onesOf(
      signature.inputs.find((input) => input.name === name)!,
      stack.shape ?? [],
    )
    bare &&= ones !== undefined
    return stack.tensor(true, ones)
  })
  return { ...checked(tensors, reading), bare }
}

function readNamedRow(reader: JsonReader, place: string, signature: Signature, stackFor: (spec: TensorSpec) => JsonStack): void {
  reader.enterObject()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    reader.path = `${place}.${key}`
    stackFor(inputNamed(reader, key, signature)).add(reader)
  }
}

/** Whether an object stands for bytes, and not for a row. */
function isBase64(reader: JsonReader, { inputs }: Signature): boolean {
  if (inputs.some(({ name }) => name === 'b64')) return false
  return (
    reader.ahead(() => {
      reader.enterObject()
      return reader.nextKey(true)
    }) === 'b64'
  )
}

/** Shape of a row that is a value by itself, where the input takes lists of one; undefined for any other. */
function onesOf({ shape }: TensorSpec, row: readonly number[]): number[] | undefined {
  const declared = shape.slice(1)
  const takesOne = declared.length > 0 && declared.every((size) => size === 1 || size === -1)
  return row.length === 0 && takesOne ? declared.map(() => 1) : undefined
}

function stackOf({ name, datatype }: TensorSpec, { limits, form }: BatchReading): JsonStack {
  return new JsonStack({ name, datatype, limit: limits.elements, nulls: form.nulls === true })
}

function onlyInput(reader: JsonReader, { inputs }: Signature): TensorSpec {
  const [only] = inputs
  if (inputs.length === 1 && only !== undefined) return only
  throw reader.fail(`expected an object with ${inputs.map(({ name }) => name).join(', ')}: the model has ${inputs.length} inputs`)
}

function inputNamed(reader: JsonReader, name: string, { inputs }: Signature): TensorSpec {
  const found = inputs.find((input) => input.name === name)
  if (found === undefined) throw reader.fail(`the model has no such input; it has ${inputs.map((input) => input.name).join(', ')}`)
  return found
}

function emptyTensors({ inputs, defaults }: Signature): Tensor[] {
  return inputs
    .filter(({ name }) => !defaults.has(name))
    .map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: shape.map((size, axis) => (axis === 0 ? 0 : Math.max(0, size))),
      data: allocate(datatype, 0),
    }))
}

function checked(tensors: readonly Tensor[], { signature, limits }: BatchReading): Read {
  const { inputs, rows, warnings } = checkTensors(signature, tensors)
  requireRowsMax(rows, limits)
  return { inputs, rows, warnings, bare: false }
}

/** People's rows and pictures as tensors. */
async function encoded(rows: readonly unknown[], path: BatchKey, { signature, limits, form }: BatchReading): Promise<Read> {
  if (rows.length === 0 && form.empty === false) throw invalid(path, 'there are no rows')
  const people = signature.image === undefined ? rowsRequest(rows, path, signature) : requestOf({ inputs: rows.map(pictureOf) }, signature)
  return { ...(await encodeWithin(limits, signature, people)), bare: false }
}

/** A picture as this server has it: where it is `{"b64": TEXT}`, alone or under one name, the text. */
function pictureOf(row: unknown): unknown {
  const [only, ...more] = isObject(row) ? Object.values(row) : []
  if (base64Of(row) !== undefined) return only
  return more.length === 0 && base64Of(only) !== undefined ? { image: (only as { readonly b64: string }).b64 } : row
}

function invalid(path: string, message: string): SlipwayError {
  return new SlipwayError('SLW_BAD_REQUEST', `${path}: ${message}`, { issues: [{ path, message }] })
}
