import { SlipwayError } from '../core/errors.ts'
import { isFloat } from '../tensor/datatype.ts'
import { copyTensor, elementCount, formatShape, toNumbers } from '../tensor/tensor.ts'
import { Issues } from './issues.ts'
import type { Feature, Signature } from './signature.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'

/** Raw tensors in the order of the model's inputs. */
export interface CheckedTensors {
  readonly inputs: readonly Tensor[]
  /** Dim 0 where the model has rows, else 1. */
  readonly rows: number
  readonly warnings: readonly string[]
}

/**
 * Checks raw tensors, as protocols carry them, against the signature: names, datatypes, shapes, and the guards.
 * @throws SLW_INPUT_INVALID with every issue
 */
export function checkTensors(signature: Signature, given: readonly Tensor[]): CheckedTensors {
  const { inputs: specs } = signature
  // The common case allocates nothing: all inputs, in order.
  const inOrder = given.length === specs.length && given.every((tensor, index) => tensor.name === specs[index]!.name)
  const issues = new Issues()
  const inputs = inOrder ? given : arrange(signature, given, issues)
  for (let index = 0; index < inputs.length; index++) checkTensor(specs[index]!, inputs[index]!, issues)
  issues.throwIfAny()
  const rows = signature.hasRows ? (inputs[0]!.shape[0] ?? 1) : 1
  if (signature.hasRows) {
    for (const tensor of inputs) {
      if ((tensor.shape[0] ?? 1) !== rows)
        issues.add(`inputs.${tensor.name}`, `has ${tensor.shape[0]} rows, "${inputs[0]!.name}" has ${rows}`)
    }
    issues.throwIfAny()
  }
  return { inputs, rows, warnings: guard(signature, inputs, rows) }
}

/**
 * Checks that outputs have a row for each row of the request, where their number of rows is free.
 * @throws SLW_RUN_FAILED: which answer belongs to which row could not be told
 */
export function checkRows(signature: Signature, outputs: readonly Tensor[], rows: number): void {
  if (!signature.hasRows || rows < 2) return
  for (const { name, shape } of outputs) {
    const spec = signature.outputs.find((output) => output.name === name)
    if (spec !== undefined && spec.anyRank !== true && spec.shape[0] === -1) requireRows({ name, shape }, rows)
  }
}

/** @throws SLW_RUN_FAILED for an output without a row for each of several */
export function requireRows({ name, shape }: Pick<Tensor, 'name' | 'shape'>, rows: number): void {
  if (rows < 2 || shape[0] === rows) return
  throw new SlipwayError(
    'SLW_RUN_FAILED',
    `output "${name}" has shape ${formatShape(shape)} for ${rows} rows: the model answers for all rows together; send one at a time`,
  )
}

function arrange(signature: Signature, given: readonly Tensor[], issues: Issues): Tensor[] {
  const byName = new Map<string, Tensor>()
  const names = signature.inputs.map((spec) => spec.name)
  for (const tensor of given) {
    if (!names.includes(tensor.name)) issues.add(`inputs.${tensor.name}`, `the model has no such input; it has ${names.join(', ')}`)
    else if (byName.has(tensor.name)) issues.add(`inputs.${tensor.name}`, 'given twice')
    byName.set(tensor.name, tensor)
  }
  const arranged: Tensor[] = []
  for (const spec of signature.inputs) {
    const fallback = signature.defaults.get(spec.name)
    const tensor = byName.get(spec.name) ?? (fallback && copyTensor(fallback))
    if (tensor === undefined) issues.add(`inputs.${spec.name}`, `missing; expected ${spec.datatype} ${formatShape(spec.shape)}`)
    else arranged.push(tensor)
  }
  issues.throwIfAny()
  return arranged
}

function checkTensor(spec: TensorSpec, tensor: Tensor, issues: Issues): void {
  const count = elementCount(tensor.shape)
  if (tensor.data.length !== count)
    issues.add(`inputs.${spec.name}`, `has ${tensor.data.length} values, its shape ${formatShape(tensor.shape)} asks for ${count}`)
  if (tensor.datatype !== spec.datatype) issues.add(`inputs.${spec.name}`, `is ${tensor.datatype}, expected ${spec.datatype}`)
  if (spec.anyRank === true) return
  const { shape } = spec
  let fits = tensor.shape.length === shape.length
  for (let axis = 0; fits && axis < shape.length; axis++) fits = shape[axis] === -1 || shape[axis] === tensor.shape[axis]
  if (!fits) issues.add(`inputs.${spec.name}`, `has shape ${formatShape(tensor.shape)}, expected ${formatShape(shape)}`)
}

/** Applies the guards of a signature to raw tensors; most signatures have none. @returns warnings */
export function guard(signature: Pick<Signature, 'features' | 'nanPolicy' | 'ranges'>, inputs: readonly Tensor[], rows: number): string[] {
  const { features, nanPolicy, ranges } = signature
  if (ranges.size === 0 && nanPolicy === 'off' && features === undefined) return []
  const issues = new Issues()
  const warnings: string[] = []
  for (const tensor of inputs) {
    const range = ranges.get(tensor.name)
    if (tensor.datatype === 'BYTES') continue
    if (range !== undefined) checkRange(tensor, range, issues)
    if (nanPolicy !== 'off' && isFloat(tensor.datatype)) checkFinite(tensor, nanPolicy, issues, warnings)
  }
  for (const feature of features ?? []) {
    if (feature.encode === 'number') checkColumn(feature, inputs[feature.input]!, rows, { issues, warnings })
  }
  issues.throwIfAny()
  return warnings
}

function checkRange(tensor: Tensor, range: { minimum: number; maximum: number }, issues: Issues): void {
  const values = toNumbers(tensor)
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!
    if (value < range.minimum || value > range.maximum) {
      issues.add(`inputs.${tensor.name}[${index}]`, `${value} is outside ${range.minimum} to ${range.maximum}`)
      return
    }
  }
}

function checkFinite(tensor: Tensor, policy: 'reject' | 'warn', issues: Issues, warnings: string[]): void {
  const values = toNumbers(tensor)
  for (let index = 0; index < values.length; index++) {
    if (Number.isFinite(values[index])) continue
    const place = `inputs.${tensor.name}[${index}]`
    if (policy === 'reject') issues.add(place, `expected a finite number, found ${values[index]}`)
    else warnings.push(`${place}: ${values[index]}`)
    return
  }
}

/** Applies the guard of a feature to its columns of a raw tensor. */
function checkColumn(feature: Feature, tensor: Tensor, rows: number, found: { issues: Issues; warnings: string[] }): void {
  const { spec, start, width } = feature
  if (tensor.datatype === 'BYTES' || rows === 0) return
  const policy = spec.nan ?? 'reject'
  const minimum = spec.minimum ?? Number.NEGATIVE_INFINITY
  const maximum = spec.maximum ?? Number.POSITIVE_INFINITY
  const values = toNumbers(tensor)
  const columns = values.length / rows
  for (let row = 0; row < rows; row++) {
    for (let column = start; column < start + width; column++) {
      const value = values[row * columns + column]!
      if (value >= minimum && value <= maximum && Number.isFinite(value)) continue
      const place = `inputs.${tensor.name}[${row}][${column}] (${spec.name})`
      if (!Number.isFinite(value)) {
        if (policy === 'reject') found.issues.add(place, `expected a finite number, found ${value}`)
        else if (policy === 'warn') found.warnings.push(`${place}: ${value}`)
      } else found.issues.add(place, `${value} is outside ${minimum} to ${maximum}`)
    }
  }
}
