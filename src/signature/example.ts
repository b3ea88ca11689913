import { generateSample } from '../tensor/sample.ts'
import { concatRows, sliceRows } from '../tensor/tensor.ts'
import { encodeRows } from './encode.ts'
import type { Feature, Signature } from './signature.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'

/** A row that the model accepts: the package's own example, or one made from what is known of the features. */
export function exampleRow(signature: Signature, index = 0): Record<string, unknown> {
  const { examples, features, inputs, hasRows } = signature
  if (examples.length > 0) return examples[index % examples.length]!
  if (signature.text !== undefined) return { text: TEXTS[index % TEXTS.length] }
  if (features !== undefined) return Object.fromEntries(features.map((feature) => [feature.spec.name, exampleValue(feature, index)]))
  return Object.fromEntries(inputs.map((spec) => [spec.name, exampleTensor(spec, hasRows, signature.ranges.get(spec.name)?.minimum ?? 0)]))
}

/** Texts of the same number of words, and of different ones. */
const TEXTS = ['The parcel came on time.', 'Nobody answers the phone.', 'A table for two, please.']

function exampleValue({ spec, encode }: Feature, index: number): unknown {
  const one = (offset: number): unknown => {
    if (spec.type === 'category') return spec.categories?.[(index + offset) % (spec.categories.length || 1)]
    if (spec.type === 'boolean') return (index + offset) % 2 === 0
    if (encode === 'text') return `text ${index + offset}`
    const low = spec.minimum ?? 0
    const high = spec.maximum ?? low + 10
    const middle = low + (high - low) * (0.3 + ((0.2 * (index + offset)) % 0.7))
    return spec.type === 'integer' || high - low > 10 ? Math.round(middle) : Number(middle.toPrecision(3))
  }
  return spec.length === undefined ? one(0) : Array.from({ length: spec.length }, (_, offset) => one(offset))
}

function exampleTensor(spec: TensorSpec, hasRows: boolean, value: number): unknown {
  const shape = (hasRows ? spec.shape.slice(1) : spec.shape).map((dim) => (dim === -1 ? 2 : dim))
  const element = spec.datatype === 'BYTES' ? 'text' : spec.datatype === 'BOOL' ? false : Number.isFinite(value) ? value : 0
  const build = (level: number): unknown =>
    level === shape.length ? element : Array.from({ length: shape[level]! }, () => build(level + 1))
  return shape.length === 1 && shape[0] === 1 ? element : build(0)
}

/** Inputs for the probe and for warm-up. */
export interface Sample {
  /** One request of this many rows, in fresh memory. */
  readonly rows: (count: number) => Tensor[]
  /** Whether the values come from the package, so that a model that refuses them is broken. */
  readonly trusted: boolean
}

/** Sample inputs: from `examples` of the package, from rows made of its features, from texts, or small integers. */
export function sampleOf(signature: Signature): Sample {
  if (signature.text !== undefined) {
    const { examples } = signature
    const distinct = examples.length > 0 ? examples.length : TEXTS.length
    const { inputs } = encodeRows(
      signature,
      Array.from({ length: distinct }, (_, index) => exampleRow(signature, index)),
      'examples',
    )
    return { rows: (count) => inputs.map((tensor) => cycle(tensor, distinct, count)), trusted: examples.length > 0 }
  }
  if (signature.image === undefined && (signature.examples.length > 0 || signature.features !== undefined)) {
    const distinct = signature.examples.length > 0 ? signature.examples.length : 3
    const encoded = Array.from({ length: distinct }, (_, index) => encodeRows(signature, [exampleRow(signature, index)], 'examples').inputs)
    const sameShape = encoded.every((inputs) =>
      inputs.every((tensor, position) => tensor.shape.join() === encoded[0]![position]!.shape.join()),
    )
    if (signature.hasRows && sameShape) {
      const joined = signature.inputs.map((_, position) => concatRows(encoded.map((inputs) => inputs[position]!)))
      return { rows: (count) => joined.map((tensor) => cycle(tensor, distinct, count)), trusted: signature.examples.length > 0 }
    }
    if (!signature.hasRows)
      return { rows: () => encoded[0]!.map((tensor) => ({ ...tensor, data: tensor.data.slice() })), trusted: signature.examples.length > 0 }
  }
  return { rows: (count) => generateSample(signature.inputs, count, signature.ranges), trusted: false }
}

function cycle(tensor: Tensor, rows: number, count: number): Tensor {
  return concatRows(Array.from({ length: count }, (_, index) => sliceRows(tensor, index % rows, (index % rows) + 1)))
}
