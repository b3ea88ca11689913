import { SlipwayError } from '../../core/errors.ts'
import { formatShape } from '../../tensor/tensor.ts'
import { isDatatype } from '../../tensor/datatype.ts'
import { isSet, lineOf, numbersOf, partOf, textOf } from './message.ts'
import { lineError } from './text-format.ts'
import type { Datatype } from '../../tensor/datatype.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'
import type { Message } from './text-format.ts'

/** An input or output as a configuration describes it. */
export interface ConfigTensor {
  readonly name: string
  readonly line: number
  readonly datatype: Datatype
  /** As clients send and get it; begins with -1 for rows where the model takes batches. */
  readonly shape: readonly number[]
  /** As the model takes and gives it, where that differs. */
  readonly modelShape: readonly number[] | undefined
  readonly optional: boolean
  /** File with the names of its elements, beside the configuration. Undefined: they have none. */
  readonly labelFile: string | undefined
}

/** The datatype of a name in the configuration; undefined for TYPE_INVALID. */
export function datatypeOf(name: string): Datatype | undefined {
  const own = name === 'TYPE_STRING' ? 'BYTES' : name.replace(/^TYPE_/, '')
  return isDatatype(own) ? own : undefined
}

/** @throws SLW_PACKAGE_INVALID */
export function readTensor(
  message: Message,
  { source, maxBatchSize }: { readonly source: string; readonly maxBatchSize: number },
): ConfigTensor {
  const name = textOf(message, 'name')
  if (name === '') throw lineError(source, message.line, 'an input or output has no name')
  const fail = (field: string, text: string): never => {
    throw lineError(source, lineOf(message, field), `"${name}": ${text}`)
  }
  if (isSet(message, 'is_shape_tensor')) fail('is_shape_tensor', 'is_shape_tensor is for models of TensorRT, which are not served here')
  if (isSet(message, 'is_non_linear_format_io'))
    fail('is_non_linear_format_io', 'is_non_linear_format_io is for models of TensorRT, which are not served here')
  if (isSet(message, 'allow_ragged_batch'))
    fail(
      'allow_ragged_batch',
      'ragged batches are not formed here: requests of different shapes run one after the other without the line, with the same answers',
    )
  const datatype = datatypeOf(textOf(message, 'data_type'))
  if (datatype === undefined) return fail('data_type', 'data_type is missing')
  const rows = maxBatchSize > 0 ? [-1] : []
  const dims = numbersOf(message, 'dims')
  if (dims.length === 0)
    fail('dims', `dims is missing${maxBatchSize > 0 ? '; a model of one value a row has dims: [ 1 ] and reshape { shape: [ ] }' : ''}`)
  if (dims.some((dim) => dim < -1 || dim === 0)) fail('dims', `dims ${formatShape(dims)} has a size that is neither above 0 nor -1`)
  const reshape = partOf(message, 'reshape')
  const inner = reshape === undefined ? undefined : numbersOf(reshape, 'shape')
  if (inner !== undefined && !isReshape(dims, inner))
    fail('reshape', `reshape to ${formatShape(inner)} has another number of elements than dims ${formatShape(dims)}`)
  const labelFile = textOf(message, 'label_filename')
  return {
    name,
    line: message.line,
    datatype,
    shape: [...rows, ...dims],
    modelShape: inner === undefined ? undefined : [...rows, ...inner],
    optional: isSet(message, 'optional'),
    labelFile: labelFile === '' ? undefined : labelFile,
  }
}

/** Whether shapes hold the same elements: their free dimensions correspond in order, and what lies between those is of the same size. */
function isReshape(from: readonly number[], to: readonly number[]): boolean {
  if (to.some((dim) => dim < -1 || dim === 0)) return false
  const [a, b] = [between(from), between(to)]
  return a.length === b.length && a.every((size, index) => size === b[index])
}

/** Numbers of elements between the free dimensions of a shape. */
function between(shape: readonly number[]): number[] {
  const sizes = [1]
  for (const dim of shape)
    if (dim === -1) sizes.push(1)
    else sizes.push(sizes.pop()! * dim)
  return sizes
}

/** Another shape of the elements of a tensor: -1 is a free dimension, and those of both shapes correspond in order. */
export interface Reshape {
  readonly from: readonly number[]
  readonly to: readonly number[]
}

/** The shape that a tensor of shape `actual`, which fits `from`, has by `to`. */
export function reshaped(actual: readonly number[], { from, to }: Reshape): number[] {
  const free = actual.filter((_, axis) => from[axis] === -1)
  let next = 0
  return to.map((dim) => (dim === -1 ? (free[next++] ?? 1) : dim))
}

export interface FitOptions {
  readonly source: string
  readonly side: 'input' | 'output'
  readonly maxBatchSize: number | undefined
  /** Names of the inputs that the model has a value for. */
  readonly defaults: ReadonlySet<string>
}

/**
 * The tensors of a model as its configuration describes them, in its order. Outputs that it does not list are not served.
 * @throws SLW_PACKAGE_INVALID where it contradicts the model file
 */
export function fitTensors(model: readonly TensorSpec[], config: readonly ConfigTensor[], options: FitOptions): readonly TensorSpec[] {
  const { source, side, maxBatchSize, defaults } = options
  if (config.length === 0) {
    if ((maxBatchSize ?? 0) > 0) for (const spec of model) requireRows(spec, options)
    return model
  }
  const missing = side === 'input' ? model.filter(({ name }) => !defaults.has(name) && !config.some((each) => each.name === name)) : []
  if (missing.length > 0)
    throw new SlipwayError(
      'SLW_PACKAGE_INVALID',
      `${source}: the model also has ${missing.map(({ name }) => `"${name}"`).join(', ')}, which no input {} describes`,
    )
  // What an input is that it does not list, the model itself says.
  const rest = side === 'input' ? model.filter(({ name }) => !config.some((each) => each.name === name)) : []
  const fitted = config.map((wanted) => {
    const spec = model.find(({ name }) => name === wanted.name)
    if (spec === undefined)
      throw lineError(source, wanted.line, `the model has no ${side} "${wanted.name}"; it has ${model.map(({ name }) => name).join(', ')}`)
    return fitTensor(spec, wanted, options)
  })
  return [...fitted, ...rest]
}

function requireRows(spec: TensorSpec, { source, side, maxBatchSize }: FitOptions): void {
  if (spec.anyRank === true || spec.shape[0] === -1) return
  throw new SlipwayError(
    'SLW_PACKAGE_INVALID',
    `${source}: max_batch_size is ${maxBatchSize}, and ${side} "${spec.name}" of the model has no free first dimension: it is ${formatShape(spec.shape)}`,
  )
}

function fitTensor(spec: TensorSpec, wanted: ConfigTensor, { source, defaults, maxBatchSize }: FitOptions): TensorSpec {
  const { name, line, datatype, shape, modelShape = shape, optional } = wanted
  const fail = (text: string): never => {
    throw lineError(source, line, `"${name}" ${text}`)
  }
  if (datatype !== spec.datatype) fail(`is ${typeName(datatype)}, and ${typeName(spec.datatype)} in the model file`)
  if (optional && !defaults.has(name)) fail('is optional, and the model has no value for it where a request has none')
  const fits =
    spec.anyRank === true ||
    (spec.shape.length === modelShape.length && spec.shape.every((dim, axis) => dim === -1 || dim === modelShape[axis]))
  if (!fits)
    fail(
      `has shape ${formatShape(modelShape)}${(maxBatchSize ?? 0) > 0 ? ' (rows, and its dims)' : ''}, and ${formatShape(spec.shape)} in the model file`,
    )
  const { anyRank: _anyRank, ...rest } = spec
  const isSame = wanted.modelShape === undefined && spec.anyRank !== true
  return { ...rest, shape, dimensionNames: shape.map((dim, axis) => (isSame && dim === -1 ? spec.dimensionNames[axis] : undefined)) }
}

function typeName(datatype: Datatype): string {
  return datatype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${datatype}`
}
