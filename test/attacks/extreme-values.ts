/** Operators with inputs whose values say where, how far or how much, given the most extreme ones there are. */
import { buildModel, node, value } from '../onnx/build-model.ts'
import { parseOnnx, writeOnnx } from '../../src/onnx/model.ts'
import { create } from '@bufbuild/protobuf'
import { OperatorSetIdProtoSchema } from '../../src/onnx/generated/onnx_pb.js'
import type { AttributeValue } from '../onnx/build-model.ts'
import type { Datatype } from '../../src/tensor/datatype.ts'

export interface Given {
  readonly datatype: 'BOOL' | 'FP32' | 'INT32' | 'INT64'
  readonly data: Uint8Array | Float32Array | Int32Array | BigInt64Array
  readonly shape: readonly number[]
}

export interface Extreme {
  readonly model: Uint8Array
  readonly inputs: Readonly<Record<string, Given>>
}

function floats(numbers: readonly number[], shape: readonly number[] = [numbers.length]): Given {
  return { datatype: 'FP32', data: Float32Array.from(numbers), shape }
}

function longs(numbers: readonly (number | bigint)[], shape: readonly number[] = [numbers.length]): Given {
  return { datatype: 'INT64', data: BigInt64Array.from(numbers.map(BigInt)), shape }
}

function ints(numbers: readonly number[], shape: readonly number[] = [numbers.length]): Given {
  return { datatype: 'INT32', data: Int32Array.from(numbers), shape }
}

interface Operator {
  readonly inputs: Readonly<Record<string, Given>>
  readonly answers?: Datatype
  readonly attributes?: Readonly<Record<string, AttributeValue>>
  readonly opset?: number
  readonly domain?: string
}

function extreme(opType: string, { inputs, answers = 'FP32', attributes = {}, opset = 17, domain = '' }: Operator): Extreme {
  const names = Object.keys(inputs)
  const model = parseOnnx(
    buildModel({
      opset,
      // Dimensions have names, so that nothing is worked out before the run.
      input: Object.entries(inputs).map(([name, { datatype, shape }]) =>
        value(
          name,
          datatype,
          shape.map((_, index) => `${name}${index}`),
        ),
      ),
      output: [value('y', answers)],
      node: [{ ...node(opType, names, ['y'], attributes), domain }],
    }),
    opType,
  )
  model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'com.microsoft', version: 1n }))
  return { model: writeOnnx(model), inputs }
}

const THREE = floats([1, 2, 3])
const SQUARE = floats([1, 2, 3, 4], [2, 2])
const IMAGE = floats([1, 2, 3, 4], [1, 1, 2, 2])
const SIGNAL = floats(
  Array.from({ length: 16 }, () => 1),
  [1, 16, 1],
)
const NONE = floats([])

const [LEAST, MOST] = [-(2n ** 63n), 2n ** 63n - 1n]
const WHOLE = [LEAST, MOST, -3n, -1n, 0n, 7n]
const REAL = [Number.NaN, Infinity, -Infinity, 1e30, -1, 0]

/** By a whole number that is an index, an axis, a size, a number of steps. */
function byWhole(n: bigint): Record<string, Operator> {
  return {
    Gather: { inputs: { x: THREE, i: longs([n]) } },
    GatherElements: { inputs: { x: THREE, i: longs([n]) } },
    GatherND: { inputs: { x: THREE, i: longs([n], [1, 1]) } },
    ScatterND: { inputs: { x: THREE, i: longs([n], [1, 1]), u: floats([5]) } },
    ScatterElements: { inputs: { x: THREE, i: longs([n]), u: floats([5]) } },
    'Slice, start': { inputs: { x: THREE, s: longs([n]), e: longs([MOST]) } },
    'Slice, end': { inputs: { x: THREE, s: longs([0]), e: longs([n]) } },
    'Slice, axis': { inputs: { x: THREE, s: longs([0]), e: longs([2]), a: longs([n]) } },
    'Slice, step': { inputs: { x: THREE, s: longs([2]), e: longs([LEAST]), a: longs([0]), t: longs([n]) } },
    TopK: { inputs: { x: THREE, k: longs([n]) } },
    Trilu: { inputs: { x: SQUARE, k: longs([n], []) } },
    CumSum: { inputs: { x: THREE, a: longs([n], []) } },
    Pad: { inputs: { x: THREE, p: longs([n, 1]) } },
    Reshape: { inputs: { x: THREE, s: longs([n, -1]) } },
    'Reshape, twice': { inputs: { x: THREE, s: longs([n, n, 3]) } },
    Expand: { inputs: { x: floats([1]), s: longs([n, n]) } },
    Tile: { inputs: { x: floats([1]), r: longs([n]) } },
    ConstantOfShape: { inputs: { s: longs([n, n]) } },
    'OneHot, depth': { inputs: { i: longs([1]), d: longs([n], []), v: floats([0, 1]) } },
    'OneHot, index': { inputs: { i: longs([n]), d: longs([3], []), v: floats([0, 1]) } },
    'Range, end': { inputs: { s: longs([0], []), l: longs([n], []), d: longs([1], []) }, answers: 'INT64' },
    'Range, step': { inputs: { s: longs([0], []), l: longs([5], []), d: longs([n], []) }, answers: 'INT64' },
    Squeeze: { inputs: { x: floats([1]), a: longs([n]) } },
    Unsqueeze: { inputs: { x: floats([1]), a: longs([n]) } },
    ReduceSum: { inputs: { x: SQUARE, a: longs([n]) } },
    ReverseSequence: { inputs: { x: SQUARE, l: longs([n, 1]) } },
    ArrayFeatureExtractor: { inputs: { x: floats([1, 2, 3], [1, 3]), i: longs([n]) }, domain: 'ai.onnx.ml' },
    NegativeLogLikelihoodLoss: { inputs: { x: floats([1, 2, 3], [1, 3]), i: longs([n]) } },
    SoftmaxCrossEntropyLoss: { inputs: { x: floats([1, 2, 3], [1, 3]), i: longs([n]) } },
    RoiAlign: { inputs: { x: IMAGE, r: floats([0, 0, 1, 1], [1, 4]), b: longs([n]) } },
    MaxUnpool: {
      inputs: { x: floats([1], [1, 1, 1, 1]), i: longs([n], [1, 1, 1, 1]) },
      attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] },
    },
    'STFT, step': { inputs: { x: SIGNAL, s: longs([n], []), w: floats([1, 1, 1, 1]) } },
    'STFT, length': { inputs: { x: SIGNAL, s: longs([2], []), w: floats([1, 1, 1, 1]), l: longs([n], []) } },
    DFT: { inputs: { x: SIGNAL, l: longs([n], []) } },
    HannWindow: { inputs: { l: longs([n], []) } },
    Split: { inputs: { x: THREE, s: longs([n]) } },
    NonMaxSuppression: { inputs: { b: floats([0, 0, 1, 1], [1, 1, 4]), s: floats([1], [1, 1, 1]), m: longs([n]) }, answers: 'INT64' },
    'Resize, sizes': { inputs: { x: IMAGE, r: NONE, s: NONE, z: longs([1, 1, n, 2]) } },
    Pow: { inputs: { x: longs([2]), p: longs([n]) }, answers: 'INT64' },
    CenterCropPad: { inputs: { x: THREE, s: longs([n]) }, opset: 18 },
    Col2Im: { inputs: { x: floats([1, 2, 3, 4], [1, 4, 1]), s: longs([n, 2]), b: longs([2, 2]) }, opset: 18 },
    RotaryEmbedding: {
      inputs: { x: floats([1, 2, 3, 4], [1, 1, 4]), p: longs([n], [1, 1]), c: floats([1, 1], [1, 2]), s: floats([1, 1], [1, 2]) },
      attributes: { num_heads: 1n },
      domain: 'com.microsoft',
    },
    'Div of 64 bits': { inputs: { x: longs([LEAST]), d: longs([n]) }, answers: 'INT64' },
    'Mod of 64 bits': { inputs: { x: longs([LEAST]), d: longs([n]) }, answers: 'INT64' },
    'Div of 32 bits': { inputs: { x: ints([-(2 ** 31)]), d: ints([Number(BigInt.asIntN(32, n))]) }, answers: 'INT32' },
    'Mod of 32 bits': { inputs: { x: ints([-(2 ** 31)]), d: ints([Number(BigInt.asIntN(32, n))]) }, answers: 'INT32' },
  }
}

/** By a number that is a place, a scale or a score. */
function byReal(n: number): Record<string, Operator> {
  const grid = { x: IMAGE, g: floats([n, n], [1, 1, 1, 2]) }
  return {
    'Resize, scales': { inputs: { x: IMAGE, r: NONE, s: floats([1, 1, n, 1]) } },
    'Resize, linear': { inputs: { x: IMAGE, r: NONE, s: floats([1, 1, n, 1]) }, attributes: { mode: 'linear' } },
    'Resize, part': {
      inputs: { x: IMAGE, r: floats([0, 0, n, 0, 1, 1, n, 1]), s: floats([1, 1, 2, 2]) },
      attributes: { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize' },
    },
    GridSample: { inputs: grid },
    'GridSample, nearest': { inputs: grid, attributes: { mode: 'nearest', padding_mode: 'reflection' } },
    'GridSample, bicubic': { inputs: grid, attributes: { mode: 'bicubic', padding_mode: 'border' } },
    RoiAlign: { inputs: { x: IMAGE, r: floats([0, 0, n, n], [1, 4]), b: longs([0]) } },
    MaxRoiPool: { inputs: { x: IMAGE, r: floats([n, n, n, n, n], [1, 5]) }, attributes: { pooled_shape: [2n, 2n] } },
    CropAndResize: { inputs: { x: IMAGE, r: floats([n, n, n, n], [1, 4]), b: ints([0]), c: longs([2, 2]) }, domain: 'com.microsoft' },
    Range: { inputs: { s: floats([0], []), l: floats([5], []), d: floats([n], []) } },
    Cast: { inputs: { x: floats([n]) }, attributes: { to: 7n }, answers: 'INT64' },
    TopK: { inputs: { x: floats([n, 1, n]), k: longs([2]) } },
    QuantizeLinear: { inputs: { x: floats([n, 1]), s: floats([n], []) }, answers: 'UINT8' },
    DynamicQuantizeLinear: { inputs: { x: floats([n, 1]) }, answers: 'UINT8' },
    Unique: { inputs: { x: floats([n, 1, n, n]) } },
    NonMaxSuppression: { inputs: { b: floats([n, 0, n, 1], [1, 1, 4]), s: floats([n], [1, 1, 1]), m: longs([3]) }, answers: 'INT64' },
    Upsample: { inputs: { x: IMAGE, s: floats([1, 1, n, 1]) }, opset: 9 },
  }
}

/** By what they try. */
export const EXTREMES: ReadonlyMap<string, Extreme> = new Map(
  [...WHOLE.map((n) => [n, byWhole(n)] as const), ...REAL.map((n) => [n, byReal(n)] as const)].flatMap(([n, operators]) =>
    Object.entries(operators).map(
      ([what, operator]) => [`${what} ${n}`, extreme(what.replace(/,? .*/, '').replace(',', ''), operator)] as const,
    ),
  ),
)
