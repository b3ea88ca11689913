import { elementAt } from '../../tensor/tensor.ts'
import { digestOf } from './redaction.ts'
import type { Feature, Signature } from '../../signature/signature.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Redaction } from './redaction.ts'

/** Values of one field: one for each row. */
type Field = unknown[]
type Fields = Record<string, Field>

export interface Redactions {
  readonly of: ReadonlyMap<string, Redaction>
  readonly key: Uint8Array
}

/** The inputs of a request as people know them: by feature where the model has features, else by tensor. Texts are kept as their tokens. */
export function inputFields(
  { features, text }: Pick<Signature, 'features' | 'text'>,
  inputs: readonly Tensor[],
  rows: number,
  redactions: Redactions,
): Fields {
  if (features === undefined || text !== undefined) return tensorFields(inputs, redactions)
  const fields: Fields = {}
  for (const feature of features)
    put(fields, feature.spec.name, redactions, () => {
      const tensor = inputs[feature.input]!
      const width = rows === 0 ? 0 : tensor.data.length / rows
      return Array.from({ length: rows }, (_, row) => featureValue(feature, tensor, row * width + feature.start))
    })
  return fields
}

/** Tensors by name: each a list along its first dimension, whose elements are lists again where it has more. */
export function tensorFields(tensors: readonly Tensor[], redactions: Redactions): Fields {
  const fields: Fields = {}
  for (const tensor of tensors)
    put(fields, tensor.name, redactions, () => {
      const { shape } = tensor
      return shape.length === 0 ? [scalarAt(tensor, 0)] : nested(tensor, shape, 0)
    })
  return fields
}

function put(fields: Fields, name: string, { of, key }: Redactions, read: () => Field): void {
  const redaction = of.get(name)
  if (redaction === 'drop') return
  const field = read()
  fields[name] = redaction === 'hash' ? field.map((value) => digestOf(value, key)) : field
}

/** The value that the elements at `start` stand for: what `signature/encode` made them of. */
function featureValue({ spec, width, encode }: Feature, tensor: Tensor, start: number): unknown {
  const { length, categories = [] } = spec
  const step = width / (length ?? 1)
  const valueAt = (at: number): unknown => {
    if (encode === 'onehot') {
      for (let column = 0; column < step; column++) if (Number(elementAt(tensor, at + column)) === 1) return categories[column] ?? null
      return null
    }
    const element = scalarAt(tensor, at)
    if (encode === 'index') return categories[Number(element)] ?? null
    return spec.type === 'boolean' && typeof element === 'number' && !Number.isNaN(element) ? element !== 0 : element
  }
  if (length === undefined) return valueAt(start)
  return Array.from({ length }, (_, index) => valueAt(start + index * step))
}

/** Integers beyond 2^53 are text: readers of JSON would change them. */
function scalarAt(tensor: Tensor, index: number): number | boolean | string {
  const element = elementAt(tensor, index)
  return typeof element === 'bigint' ? String(element) : element
}

function nested(tensor: Tensor, shape: readonly number[], start: number): unknown[] {
  const [count = 0, ...rest] = shape
  if (rest.length === 0) return Array.from({ length: count }, (_, index) => scalarAt(tensor, start + index))
  const step = rest.reduce((product, dimension) => product * dimension, 1)
  return Array.from({ length: count }, (_, index) => nested(tensor, rest, start + index * step))
}
