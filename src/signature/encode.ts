import { closest } from '../contract/schema.ts'
import { datatypeInfo, isFloat, isWide } from '../tensor/datatype.ts'
import { allocate, copyTensor, elementCount, setNumber } from '../tensor/tensor.ts'
import { Issues, show } from './issues.ts'
import { guard } from './tensors.ts'
import { encodeTexts } from './text/encode-texts.ts'
import type { Feature, Signature } from './signature.ts'
import type { TextRow } from './text/encode-texts.ts'
import type { TensorData } from '../tensor/datatype.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'

/** People's rows as tensors, and the warnings of guards. */
export interface Encoded {
  readonly inputs: readonly Tensor[]
  readonly rows: number
  readonly warnings: readonly string[]
  /** Of texts: the tokens of each row. The tensors have as many as the longest. */
  readonly lengths?: readonly number[] | undefined
}

/**
 * Turns rows into the input tensors of a model. A row is an object of features, a list of feature values in order, or,
 * where no features are declared, an object of one value per input tensor (a lone value for a model with one input).
 * @param path place of the rows in the request, e.g. `inputs`; row 3 is then `inputs[3]`
 * @param elementsMax elements of one tensor that texts may make. Default: 16777216
 * @throws SLW_INPUT_INVALID with every issue; nothing is run when one row is wrong
 */
export function encodeRows(signature: Signature, rows: readonly unknown[], path: string, elementsMax?: number): Encoded {
  const issues = new Issues()
  const warnings: string[] = []
  if (!signature.hasRows && rows.length !== 1) issues.add(path, `this model takes one set of inputs at a time, found ${rows.length}`)
  issues.throwIfAny()
  const { text } = signature
  if (text !== undefined) {
    const texts = textRows(rows, signature.features!, { path, issues, warnings })
    return { ...encodeTexts({ text, inputs: signature.inputs }, texts, issues, elementsMax), rows: rows.length, warnings }
  }
  const inputs =
    signature.features === undefined
      ? encodeTensors(signature, rows, path, issues)
      : encodeFeatures(signature, signature.features, rows, { path, issues, warnings })
  issues.throwIfAny()
  // Features have been guarded value by value, with better names than a tensor has.
  const { features, ranges } = signature
  const guarded = guard(
    { features: undefined, ranges, nanPolicy: features === undefined ? signature.nanPolicy : 'off' },
    inputs,
    rows.length,
  )
  return { inputs, rows: rows.length, warnings: [...warnings, ...guarded] }
}

/** A row of texts is an object of them, a list, or a lone text. */
function textRows(rows: readonly unknown[], features: readonly Feature[], place: Place): TextRow[] {
  const names = new Set(features.map(({ spec }) => spec.name))
  const found: TextRow[] = []
  for (const [index, row] of rows.entries()) {
    const path = `${place.path}[${index}]`
    const lone = Array.isArray(row) && row.length === 1 ? [row[0], undefined] : row
    const values = typeof row === 'string' ? [row, undefined] : valuesOf(lone, features, names, { ...place, path })
    if (values !== undefined) found.push({ text: values[0], pair: values[1], path })
  }
  return found
}

interface Place {
  readonly path: string
  readonly issues: Issues
  readonly warnings: string[]
}

function encodeFeatures(signature: Signature, features: readonly Feature[], rows: readonly unknown[], place: Place): Tensor[] {
  const inputs = signature.inputs.map((spec, index) => {
    const width = features.reduce((sum, feature) => sum + (feature.input === index ? feature.width : 0), 0)
    const row = spec.shape.slice(1)
    const shape = [rows.length, ...(row.includes(-1) || spec.anyRank === true ? [width] : row)]
    return { name: spec.name, datatype: spec.datatype, shape, data: allocate(spec.datatype, rows.length * width), width }
  })
  const names = new Set(features.map((feature) => feature.spec.name))
  for (const [index, row] of rows.entries()) {
    const path = `${place.path}[${index}]`
    const values = valuesOf(row, features, names, { ...place, path })
    if (values === undefined) continue
    for (const [position, feature] of features.entries()) {
      const tensor = inputs[feature.input]!
      const target: Destination = {
        data: tensor.data,
        spec: signature.inputs[feature.input]!,
        offset: index * tensor.width + feature.start,
      }
      encodeFeature(feature, values[position], target, { ...place, path: `${path}.${feature.spec.name}` })
    }
  }
  return inputs.map(({ name, datatype, shape, data }) => ({ name, datatype, shape, data }))
}

/** The values of a row in the order of the features. */
function valuesOf(row: unknown, features: readonly Feature[], names: ReadonlySet<string>, place: Place): unknown[] | undefined {
  if (Array.isArray(row)) {
    if (row.length === features.length) return row
    place.issues.add(
      place.path,
      `expected ${features.length} values (${features.map((feature) => feature.spec.name).join(', ')}), found ${row.length}`,
    )
    return undefined
  }
  if (row === null || typeof row !== 'object') {
    place.issues.add(place.path, `expected an object with ${features.map((feature) => feature.spec.name).join(', ')}; found ${show(row)}`)
    return undefined
  }
  for (const key of Object.keys(row)) {
    if (names.has(key)) continue
    const near = place.issues.full ? undefined : closest(key, [...names])
    place.issues.add(`${place.path}.${key}`, `the model has no such feature${near === undefined ? '' : `; did you mean "${near}"?`}`)
  }
  return features.map((feature) => (row as Record<string, unknown>)[feature.spec.name])
}

interface Destination {
  readonly data: TensorData
  readonly spec: TensorSpec
  readonly offset: number
}

function encodeFeature(feature: Feature, given: unknown, target: Destination, place: Place): void {
  const { spec } = feature
  // Null is no value: a default takes its place, and without one it is NaN to a number.
  const value = given === undefined || (given === null && spec.default !== undefined) ? spec.default : given
  if (value === undefined) {
    place.issues.add(place.path, `missing; expected ${expectation(feature)}`)
    return
  }
  const length = spec.length
  if (length === undefined) {
    encodeValue(feature, value, target, place)
    return
  }
  if (!Array.isArray(value) || value.length !== length) {
    place.issues.add(place.path, `expected a list of ${length} values, found ${show(value)}`)
    return
  }
  const step = feature.width / length
  for (const [index, element] of value.entries())
    encodeValue(feature, element, { ...target, offset: target.offset + index * step }, { ...place, path: `${place.path}[${index}]` })
}

function encodeValue(feature: Feature, value: unknown, target: Destination, place: Place): void {
  const { spec } = feature
  const { data, offset } = target
  if (spec.type === 'category') {
    // An index that is missing is NaN, as a number is, where that is let through.
    if (value === null && feature.encode === 'index' && spec.nan !== 'reject' && isFloat(target.spec.datatype)) {
      if (spec.nan === 'warn') place.warnings.push(`${place.path}: null`)
      setNumber(data, target.spec.datatype, offset, Number.NaN)
      return
    }
    const scalar = value !== null && typeof value !== 'object'
    const found = scalar ? spec.categories?.findIndex((category) => category === value || String(category) === String(value)) : undefined
    const index = found ?? -1
    if (index < 0) {
      place.issues.add(place.path, `${show(value)} is not one of ${spec.categories?.map((category) => show(category)).join(', ')}`)
    } else if (feature.encode === 'text') (data as string[])[offset] = String(spec.categories?.[index])
    else if (feature.encode === 'index') setNumber(data, target.spec.datatype, offset, index)
    else setNumber(data, target.spec.datatype, offset + index, 1)
    return
  }
  if (feature.encode === 'text') {
    if (isText(value)) (data as string[])[offset] = value
    else place.issues.add(place.path, `expected a text without NUL and halves of characters, found ${show(value)}`)
    return
  }
  const number = numberOf(feature, value, place)
  if (number !== undefined && fitsDatatype(number, target.spec, place)) writeNumber(target, number)
}

function expectation(feature: Feature): string {
  const { spec } = feature
  if (spec.type === 'category') return `one of ${spec.categories?.map((category) => show(category)).join(', ')}`
  return spec.type === 'string' ? 'a text' : `a${spec.type === 'integer' ? 'n' : ''} ${spec.type}`
}

/** The number that a value stands for, its guard applied; undefined when an issue was added. */
function numberOf(feature: Feature, value: unknown, place: Place): number | bigint | undefined {
  const { spec } = feature
  if (spec.type === 'boolean') {
    if (value === true || value === 1 || value === 'true') return 1
    if (value === false || value === 0 || value === 'false') return 0
    place.issues.add(place.path, `expected true or false, found ${show(value)}`)
    return undefined
  }
  const number = value === null ? Number.NaN : value
  if (typeof number !== 'number' && typeof number !== 'bigint') {
    place.issues.add(place.path, `expected ${expectation(feature)}, found ${show(value)}`)
    return undefined
  }
  if (typeof number === 'number' && !Number.isFinite(number)) {
    const policy = spec.nan ?? 'reject'
    if (policy === 'reject') {
      place.issues.add(place.path, `expected a finite number, found ${value === null ? 'null' : number}`)
      return undefined
    }
    if (policy === 'warn') place.warnings.push(`${place.path}: ${number}`)
    return number
  }
  if (spec.type === 'integer' && typeof number === 'number' && !Number.isInteger(number)) {
    place.issues.add(place.path, `expected an integer, found ${number}`)
    return undefined
  }
  if ((spec.minimum !== undefined && number < spec.minimum) || (spec.maximum !== undefined && number > spec.maximum)) {
    place.issues.add(
      place.path,
      `${number} is outside ${spec.minimum ?? '-infinity'} to ${spec.maximum ?? 'infinity'}${spec.unit === undefined ? '' : ` ${spec.unit}`}`,
    )
    return undefined
  }
  return number
}

function fitsDatatype(value: number | bigint, spec: TensorSpec, place: Place): boolean {
  if (isFloat(spec.datatype)) return true
  if (typeof value === 'number' && !Number.isInteger(value)) {
    place.issues.add(place.path, `expected an integer, found ${value}`)
    return false
  }
  const [low, high] = datatypeInfo(spec.datatype).range ?? [0n, 1n]
  if (BigInt(value) >= low && BigInt(value) <= high) return true
  place.issues.add(place.path, `${value} is outside ${spec.datatype}`)
  return false
}

function writeNumber(target: Destination, value: number | bigint): void {
  const { datatype } = target.spec
  if (typeof value === 'bigint' && isWide(datatype)) (target.data as BigInt64Array)[target.offset] = value
  else setNumber(target.data, datatype, target.offset, Number(value))
}

/** ONNX Runtime cuts a text off at its first NUL, and half a character has no form in UTF-8. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0') && value.isWellFormed()
}

/** Rows as objects of one value per input tensor. */
function encodeTensors(signature: Signature, rows: readonly unknown[], path: string, issues: Issues): Tensor[] {
  const { inputs, hasRows } = signature
  const perInput: { values: unknown[]; paths: string[] }[] = inputs.map(() => ({ values: [], paths: [] }))
  for (const [index, row] of rows.entries()) {
    const rowPath = hasRows ? `${path}[${index}]` : path
    for (const [position, spec] of inputs.entries()) {
      const [value, valuePath] = pick(row, spec, inputs, rowPath)
      if (value === undefined && !signature.defaults.has(spec.name))
        issues.add(valuePath, `missing; expected ${describeTensor(spec, hasRows)}`)
      perInput[position]!.values.push(value)
      perInput[position]!.paths.push(valuePath)
    }
    if (isObject(row)) refuseUnknownInputs(row, inputs, rowPath, issues)
  }
  issues.throwIfAny()
  return inputs.map((spec, position) => {
    const given = perInput[position]!
    const fallback = given.values.every((value) => value === undefined) ? signature.defaults.get(spec.name) : undefined
    return fallback === undefined ? stackValues(spec, given, hasRows, issues) : copyTensor(fallback)
  })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function refuseUnknownInputs(row: Record<string, unknown>, inputs: readonly TensorSpec[], path: string, issues: Issues): void {
  const names = inputs.map((input) => input.name)
  for (const key of Object.keys(row)) {
    if (names.includes(key)) continue
    const near = issues.full ? undefined : closest(key, names)
    issues.add(
      `${path}.${key}`,
      `the model has no such input${near === undefined ? `; it has ${names.join(', ')}` : `; did you mean "${near}"?`}`,
    )
  }
}

function pick(row: unknown, spec: TensorSpec, inputs: readonly TensorSpec[], path: string): [value: unknown, path: string] {
  if (isObject(row)) return [row[spec.name], `${path}.${spec.name}`]
  return [inputs.length === 1 ? row : undefined, inputs.length === 1 ? path : `${path}.${spec.name}`]
}

function describeTensor(spec: TensorSpec, hasRows: boolean): string {
  const shape = hasRows ? spec.shape.slice(1) : spec.shape
  const kind = spec.datatype === 'BYTES' ? 'text' : spec.datatype
  return shape.length === 0 || (shape.length === 1 && shape[0] === 1)
    ? `a value (${kind})`
    : `an array of ${kind} [${shape.map((dim) => (dim === -1 ? 'any' : dim)).join(', ')}]`
}

/** One tensor from the values of all rows, which must agree in shape. */
function stackValues(
  spec: TensorSpec,
  { values, paths }: { values: unknown[]; paths: string[] },
  hasRows: boolean,
  issues: Issues,
): Tensor {
  const declared = hasRows ? spec.shape.slice(1) : [...spec.shape]
  const before = issues.count
  let shape: number[] | undefined
  const flat: unknown[] = []
  for (const [index, value] of values.entries()) {
    const path = paths[index]!
    const own = shapeOf(value, declared)
    const fits =
      spec.anyRank === true || (own.length === declared.length && own.every((dim, axis) => declared[axis] === -1 || declared[axis] === dim))
    if (!fits)
      issues.add(
        path,
        `expected ${describeTensor(spec, hasRows)}, found ${Array.isArray(value) ? `shape [${own.join(', ')}]` : show(value)}`,
      )
    else if (shape !== undefined && shape.join() !== own.join())
      issues.add(path, `shape [${own.join(', ')}] differs from [${shape.join(', ')}] of the first row; rows of one request have one shape`)
    if (fits) shape ??= own
    if (!flatten(value, own, 0, flat))
      issues.add(path, `the lists inside have different lengths; expected ${describeTensor(spec, hasRows)}`)
  }
  const rowShape = shape ?? declared.map((dim) => Math.max(0, dim))
  const full = hasRows ? [values.length, ...rowShape] : rowShape
  // The issues of every input are collected before the request is refused.
  if (issues.count > before) return { name: spec.name, datatype: spec.datatype, shape: full, data: [] }
  const data = allocate(spec.datatype, elementCount(full))
  for (const [index, value] of flat.entries())
    writeElement({ data, spec, offset: index }, value, paths[Math.floor(index / Math.max(1, elementCount(rowShape)))] ?? '', issues)
  return { name: spec.name, datatype: spec.datatype, shape: full, data }
}

/** The shape of nested lists; a bare value fills a shape of ones. */
function shapeOf(value: unknown, declared: readonly number[]): number[] {
  if (!Array.isArray(value) && declared.every((dim) => dim === 1 || dim === -1)) return declared.map(() => 1)
  const shape: number[] = []
  for (let at: unknown = value; Array.isArray(at); at = at[0]) shape.push(at.length)
  return shape
}

/** Appends the values of nested lists; false where a list does not fit the shape, which is that of the first lists. */
function flatten(value: unknown, shape: readonly number[], level: number, into: unknown[]): boolean {
  if (!Array.isArray(value)) {
    into.push(value)
    return level === shape.length || level === 0
  }
  return value.length === shape[level] && value.every((element) => flatten(element, shape, level + 1, into))
}

function writeElement(target: Destination, value: unknown, path: string, issues: Issues): void {
  const { datatype } = target.spec
  if (datatype === 'BYTES') {
    if (isText(value)) (target.data as string[])[target.offset] = value
    else issues.add(path, `expected a text without NUL and halves of characters, found ${show(value)}`)
    return
  }
  if (datatype === 'BOOL' && typeof value === 'boolean') {
    setNumber(target.data, datatype, target.offset, value ? 1 : 0)
    return
  }
  const number = value === null && isFloat(datatype) ? Number.NaN : value
  if (typeof number !== 'number' && typeof number !== 'bigint') issues.add(path, `expected a number (${datatype}), found ${show(value)}`)
  else if (fitsDatatype(number, target.spec, { path, issues, warnings: [] })) writeNumber(target, number)
}
