/**
 * Follows the rows of a batch through a graph, to find operators in which one row changes the answer to another. Comparing runs, as the
 * probe does, misses those whose effect depends on the values: one scale for all rows of a dynamically quantised model is nearly the same
 * for rows of one magnitude.
 *
 * For each tensor the axis is known along which its rows lie, and its rank where that can be told. Operators: ONNX, opsets 1 to 23
 * (https://onnx.ai/onnx/operators), ai.onnx.ml, and the fused operators of ONNX Runtime (com.microsoft).
 */
import { graphs } from './model.ts'
import type { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.js'

/** The rows of a tensor. */
interface Rows {
  /** Axis along which they lie. */
  readonly axis: number
  /** Undefined: unknown. */
  readonly rank: number | undefined
}

/** What an operator does to rows: the rows of its outputs, in order, or the reason why they are not independent. */
type Followed = { readonly outputs: readonly (Rows | undefined)[] } | { readonly coupled: string }

const together = (what: string): Followed => ({ coupled: what })
const each = (rows: Rows | undefined): Followed => ({ outputs: [rows] })

/** Elementwise over all inputs, which are broadcast. */
const ELEMENTWISE = new Set(
  'Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow StringConcat Sub Sum Where Xor'.split(
    ' ',
  ),
)

/** Element by element, along axes behind the rows, or row by row: rows stay where they are in the first input that has some. */
const KEEPS = new Set(
  (
    'Abs Acos Acosh AffineGrid Asin Asinh Atan Atanh AveragePool BitwiseNot Cast CastLike Ceil Celu Clip Col2Im Cos Cosh DepthToSpace DequantizeLinear Elu Erf Exp Expand FastGelu Floor Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample GroupNormalization HardSigmoid HardSwish Identity ImageDecoder InstanceNormalization IsInf IsNaN LRN LeakyRelu Log LpPool MaxPool MaxRoiPool MaxUnpool Mish Neg Not QuantizeLinear Reciprocal RegexFullMatch Relu Resize Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign SpaceToDepth Sqrt StringSplit Swish Tan Tanh ThresholdedRelu Tile Trilu Upsample ' +
    'ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TfIdfVectorizer TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor ZipMap ' +
    'Attention BiasAdd BiasGelu BiasSplitGelu EmbedLayerNormalization FusedConv GroupNorm MultiHeadAttention NhwcConv NhwcMaxPool QEmbedLayerNormalization QLinearAdd QLinearAveragePool QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid QuickGelu RotaryEmbedding SimplifiedLayerNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization'
  ).split(' '),
)

/** Answers that say nothing of single rows: shapes, constants. */
const WITHOUT_ROWS = new Set('Constant ConstantOfShape EyeLike Range Shape Size'.split(' '))

const ONE_SCALE = 'computes one scale for all rows together'
const ALL_TOGETHER: Readonly<Record<string, string>> = {
  DynamicQuantizeLinear: ONE_SCALE,
  DynamicQuantizeMatMul: ONE_SCALE,
  DynamicQuantizeLSTM: ONE_SCALE,
  NonZero: 'answers as many elements as are not zero in all rows together',
  Unique: 'compares rows with one another',
  NonMaxSuppression: 'answers for all rows together',
  StringNormalizer: 'leaves out elements of the rows, so that an answer has fewer',
}

const RANDOM = new Set('Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike'.split(' '))
const CONTROL = new Set('If Loop Scan SequenceMap'.split(' '))
const DOMAINS = new Set(['', 'ai.onnx', 'ai.onnx.ml', 'com.microsoft'])

/** The first operator in which rows of a batch are not independent, and why; undefined if there is none. In doubt there is one. */
export function rowCoupling(model: ModelProto): string | undefined {
  const { graph } = model
  if (graph === undefined) return undefined
  const opset = Number(model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0n)
  const constants = constantsOf(graph)
  const initialised = new Set([
    ...graph.initializer.map(({ name }) => name),
    ...graph.sparseInitializer.map(({ values }) => values?.name ?? ''),
  ])
  const rows = new Map<string, Rows>()
  for (const input of graph.input) {
    if (initialised.has(input.name)) continue
    const type = input.type?.value
    const rank = type?.case === 'tensorType' && type.value.shape !== undefined ? type.value.shape.dim.length : undefined
    if (rank !== 0) rows.set(input.name, { axis: 0, rank })
  }
  // Ranks of what carries no rows: the other side of a broadcast.
  const ranks = new Map<string, number>()
  for (const { name, dims } of graph.initializer) ranks.set(name, dims.length)
  for (const node of graph.node) {
    const label = `${node.opType}${node.name === '' ? '' : ` "${node.name}"`}`
    if (RANDOM.has(node.opType)) return `${label} answers at random`
    const carries = node.input.some((name) => rows.has(name)) || capturesRows(node, rows)
    if (!carries) {
      const [only] = node.output
      const value = node.opType === 'Constant' && only !== undefined ? constants.get(only) : undefined
      if (value !== undefined && only !== undefined) ranks.set(only, value.rank)
      continue
    }
    const followed = follow({ node, rows, ranks, constants, opset })
    if ('coupled' in followed) return `${label} ${followed.coupled}`
    for (const [index, name] of node.output.entries()) {
      const out = followed.outputs[index] ?? followed.outputs.at(-1)
      if (name !== '' && out !== undefined) rows.set(name, out)
    }
  }
  return undefined
}

function capturesRows(node: NodeProto, rows: ReadonlyMap<string, Rows>): boolean {
  if (!CONTROL.has(node.opType)) return false
  const inner = node.attribute.flatMap(({ g }) => (g === undefined ? [] : [...graphs(g)]))
  return inner.some((graph) => graph.node.some(({ input }) => input.some((name) => rows.has(name))))
}

interface Step {
  readonly node: NodeProto
  readonly rows: ReadonlyMap<string, Rows>
  readonly ranks: ReadonlyMap<string, number>
  readonly constants: ReadonlyMap<string, Constant>
  readonly opset: number
}

function follow(step: Step): Followed {
  const { node, rows } = step
  const { opType, domain } = node
  if (!DOMAINS.has(domain)) return together(`is of the domain ${domain}, of which it is not known whether rows are independent`)
  if (CONTROL.has(opType)) return together('goes another way, or for longer, by the values of the rows')
  const always = ALL_TOGETHER[opType]
  if (always !== undefined) return together(always)
  if (WITHOUT_ROWS.has(opType)) return { outputs: [] }
  if (/^(Reduce|ArgM)/.test(opType)) return reduction(step)
  const rule = RULES[opType]
  if (rule !== undefined) return rule(step)
  if (ELEMENTWISE.has(opType)) return broadcast(step, node.input)
  if (KEEPS.has(opType))
    return { outputs: node.output.map(() => node.input.map((name) => rows.get(name)).find((one) => one !== undefined)) }
  return together('is not known to treat rows independently')
}

/** Rows of a result of broadcasting: axes count from the end. */
function broadcast({ rows, ranks }: Step, names: readonly string[]): Followed {
  const carrying = names.map((name) => rows.get(name)).filter((one) => one !== undefined)
  const all = names.map((name) => rows.get(name)?.rank ?? ranks.get(name))
  const known = all.every((rank) => rank !== undefined) && all.length === names.length
  const rank = known ? Math.max(...(all as number[])) : undefined
  const axes = new Set(carrying.map((one) => (rank === undefined || one.rank === undefined ? one.axis : rank - one.rank + one.axis)))
  if (axes.size > 1) return together('sets rows of a batch against one another')
  return each({ axis: [...axes][0]!, rank })
}

function first({ node, rows }: Step): Rows | undefined {
  return rows.get(node.input[0] ?? '')
}

/** Counts from the front. @param fallback rank where it is unknown: negative axes are then taken for axes behind the rows */
function fromFront(axis: number, { axis: row, rank }: Rows): number {
  return axis >= 0 ? axis : axis + (rank ?? row + 2)
}

/** An operator that mixes along one axis. */
function along(standard: number | ((opset: number) => number), what: string): (step: Step) => Followed {
  return (step) => {
    const rows = first(step)
    if (rows === undefined)
      return broadcast(
        step,
        step.node.input.filter((name) => step.rows.has(name)),
      )
    const axis = fromFront(integer(step.node, 'axis', typeof standard === 'number' ? standard : standard(step.opset)), rows)
    return axis === rows.axis ? together(what) : { outputs: step.node.output.map(() => rows) }
  }
}

/** An operator that mixes along an axis and all behind it. */
function from(standard: number, what: string): (step: Step) => Followed {
  return (step) => {
    const rows = first(step)
    if (rows === undefined) return together(what)
    return fromFront(integer(step.node, 'axis', standard), rows) <= rows.axis ? together(what) : { outputs: [rows, undefined] }
  }
}

function reduction(step: Step): Followed {
  const { node } = step
  const rows = first(step)
  if (rows === undefined) return together('reduces by axes that rows say')
  const isArg = node.opType.startsWith('Arg')
  const named = isArg ? [integer(node, 'axis', 0)] : (integers(node, 'axes') ?? step.constants.get(node.input[1] ?? '')?.values)
  if (named === undefined && !isArg && (node.input[1] ?? '') !== '') return together('reduces by axes that are computed')
  if (named === undefined || named.length === 0)
    return integer(node, 'noop_with_empty_axes', 0) === 1 ? each(rows) : together('reduces over all rows')
  const axes = named.map((axis) => fromFront(axis, rows))
  if (axes.includes(rows.axis)) return together('reduces over all rows')
  if (integer(node, 'keepdims', 1) === 1) return each(rows)
  const before = axes.filter((axis) => axis < rows.axis).length
  return each({ axis: rows.axis - before, rank: rows.rank === undefined ? undefined : rows.rank - axes.length })
}

/** Products contract the last axis of the one with the last but one of the other. */
function product(step: Step, a: number, b: number): Followed {
  const { node, rows, ranks } = step
  const [left, right] = [rows.get(node.input[a] ?? ''), rows.get(node.input[b] ?? '')]
  const mixes = together('multiplies rows of a batch with one another')
  if (left?.rank !== undefined && left.axis === left.rank - 1) return mixes
  const leftRank = left?.rank ?? ranks.get(node.input[a] ?? '')
  if (right === undefined) return each(left)
  const rightRank = right.rank
  // Only among the axes before the matrices rows of both sides meet each other alone.
  if (rightRank === undefined || right.axis >= rightRank - 2) return mixes
  if (left === undefined)
    return each(
      leftRank === undefined ? undefined : { axis: right.axis + Math.max(0, leftRank - rightRank), rank: Math.max(leftRank, rightRank) },
    )
  if (leftRank === undefined) return each(left)
  const rank = Math.max(leftRank, rightRank)
  return rank - leftRank + left.axis === rank - rightRank + right.axis ? each({ axis: rank - leftRank + left.axis, rank }) : mixes
}

function gemm(step: Step): Followed {
  const { node, rows } = step
  const left = rows.get(node.input[0] ?? '')
  const mixes = together('multiplies rows of a batch with one another')
  if (rows.has(node.input[1] ?? '') || left === undefined) return mixes
  return (integer(node, 'transA', 0) === 1) === (left.axis === 1) ? each({ axis: 0, rank: 2 }) : mixes
}

function convolution(step: Step): Followed {
  const rows = first(step)
  const others = step.node.input.slice(1).some((name) => step.rows.has(name))
  return rows?.axis !== 0 || others ? together('folds rows of a batch with one another') : each(rows)
}

function einsum(step: Step): Followed {
  const { node, rows } = step
  const equation = Buffer.from(node.attribute.find(({ name }) => name === 'equation')?.s ?? [])
    .toString()
    .replaceAll(' ', '')
  const [inputs = '', output] = equation.split('->')
  if (output === undefined || equation.includes('.')) return together('is an einsum whose axes are not named')
  const letters = inputs.split(',').map((term, index) => term[rows.get(node.input[index] ?? '')?.axis ?? -1])
  const [letter, ...others] = new Set(letters.filter((one) => one !== undefined))
  if (letter === undefined || others.length > 0 || !output.includes(letter)) return together('sums over rows of a batch')
  return each({ axis: output.indexOf(letter), rank: output.length })
}

function gather(step: Step): Followed {
  const { node, rows, ranks } = step
  const [data, indices] = [rows.get(node.input[0] ?? ''), rows.get(node.input[1] ?? '')]
  const axis = integer(node, 'axis', 0)
  if (data === undefined && indices !== undefined) {
    const rank = ranks.get(node.input[0] ?? '')
    const front = axis >= 0 ? axis : axis + (rank ?? 0)
    return each({
      axis: front + indices.axis,
      rank: rank === undefined || indices.rank === undefined ? undefined : rank - 1 + indices.rank,
    })
  }
  if (data === undefined) return together('picks by rows')
  const front = fromFront(axis, data)
  if (front === data.axis || indices !== undefined) return together('picks among the rows of a batch')
  const picked = ranks.get(node.input[1] ?? '') ?? step.constants.get(node.input[1] ?? '')?.rank
  const grows = picked === undefined ? undefined : picked - 1
  if (front > data.axis)
    return each({ axis: data.axis, rank: data.rank === undefined || grows === undefined ? undefined : data.rank + grows })
  return grows === undefined
    ? together('picks by indices of unknown rank')
    : each({ axis: data.axis + grows, rank: data.rank === undefined ? undefined : data.rank + grows })
}

function transpose(step: Step, rows: Rows): Followed {
  const perm = integers(step.node, 'perm')
  if (perm !== undefined) return each({ axis: perm.indexOf(rows.axis), rank: perm.length })
  return rows.rank === undefined ? together('turns axes of unknown number') : each({ axis: rows.rank - 1 - rows.axis, rank: rows.rank })
}

function reshape(step: Step): Followed {
  const rows = first(step)
  if (rows === undefined) return together('takes its shape from rows')
  const shape = step.constants.get(step.node.input[1] ?? '')?.values ?? integers(step.node, 'shape')
  // A shape that is computed keeps the rows in front, as the probe sees by the shapes that come out.
  if (shape === undefined)
    return rows.axis === 0 ? each({ axis: 0, rank: undefined }) : together('moves rows into a shape that is computed')
  const rank = shape.length
  if (rows.axis === 0 && rank > 0 && shape[0]! <= 0) return each({ axis: 0, rank })
  if (
    rows.axis > 0 &&
    rows.axis < rank &&
    shape.slice(0, rows.axis + 1).every((size, index) => (index === rows.axis ? size <= 0 : size !== -1))
  )
    return each({ axis: rows.axis, rank })
  return together(`puts rows into the shape [${shape.join(', ')}]`)
}

function flatten(step: Step, rows: Rows): Followed {
  return rows.axis === 0 && fromFront(integer(step.node, 'axis', 1), rows) > 0
    ? each({ axis: 0, rank: 2 })
    : together('puts all rows into one')
}

function squeeze(step: Step, rows: Rows): Followed {
  const named = integers(step.node, 'axes') ?? step.constants.get(step.node.input[1] ?? '')?.values
  // Without axes a batch of one row would lose its rows, which the probe sees.
  if (named === undefined) return each({ axis: rows.axis, rank: undefined })
  const axes = named.map((axis) => fromFront(axis, rows))
  if (axes.includes(rows.axis)) return together('takes the rows for an axis of one element')
  return each({
    axis: rows.axis - axes.filter((axis) => axis < rows.axis).length,
    rank: rows.rank === undefined ? undefined : rows.rank - axes.length,
  })
}

function unsqueeze(step: Step, rows: Rows): Followed {
  const named = integers(step.node, 'axes') ?? step.constants.get(step.node.input[1] ?? '')?.values
  if (named === undefined) return together('adds axes that are computed')
  const rank = rows.rank === undefined ? undefined : rows.rank + named.length
  let axis = rows.axis
  for (const added of named.map((one) => (one >= 0 ? one : one + (rank ?? Number.MAX_SAFE_INTEGER))).toSorted((a, b) => a - b))
    if (added <= axis) axis++
  return each({ axis, rank })
}

function slice(step: Step, rows: Rows): Followed {
  const { node, constants } = step
  const ends = integers(node, 'ends') ?? constants.get(node.input[2] ?? '')?.values
  const starts = integers(node, 'starts') ?? constants.get(node.input[1] ?? '')?.values
  const named =
    integers(node, 'axes') ?? ((node.input[3] ?? '') === '' ? starts?.map((_, index) => index) : constants.get(node.input[3]!)?.values)
  if (named === undefined) return together('cuts along axes that are computed')
  const at = named.findIndex((axis) => fromFront(axis, rows) === rows.axis)
  if (at < 0) return each(rows)
  const steps = constants.get(node.input[4] ?? '')?.values[at] ?? 1
  const isWhole = starts?.[at] === 0 && (ends?.[at] ?? 0) >= 0x7fff_ffff && steps === 1
  return isWhole ? each(rows) : together('leaves out rows of a batch')
}

function pad(step: Step, rows: Rows): Followed {
  const pads = integers(step.node, 'pads') ?? step.constants.get(step.node.input[1] ?? '')?.values
  if (pads === undefined) return together('pads by sizes that are computed')
  const axes = step.constants.get(step.node.input[3] ?? '')?.values ?? Array.from({ length: pads.length / 2 }, (_, index) => index)
  const at = axes.findIndex((axis) => fromFront(axis, rows) === rows.axis)
  return at >= 0 && (pads[at] !== 0 || pads[at + pads.length / 2] !== 0) ? together('adds rows to a batch') : each(rows)
}

function cumulative(step: Step): Followed {
  const rows = first(step)
  const axis = step.constants.get(step.node.input[1] ?? '')?.values[0]
  if (rows === undefined || axis === undefined) return together('adds up along an axis that is computed')
  return fromFront(axis, rows) === rows.axis ? together('adds up over the rows of a batch') : each(rows)
}

function recurrent(step: Step, rows: Rows): Followed {
  const batch = integer(step.node, 'layout', 0) === 1 ? 0 : 1
  if (rows.axis !== batch) return together('takes the rows of a batch for steps of a sequence')
  return batch === 0
    ? {
        outputs: [
          { axis: 0, rank: 4 },
          { axis: 0, rank: 3 },
          { axis: 0, rank: 3 },
        ],
      }
    : {
        outputs: [
          { axis: 2, rank: 4 },
          { axis: 1, rank: 3 },
          { axis: 1, rank: 3 },
        ],
      }
}

function oneHot(step: Step): Followed {
  const rows = first(step)
  if (rows === undefined) return together('takes its depth from rows')
  const axis = integer(step.node, 'axis', -1)
  const rank = rows.rank === undefined ? undefined : rows.rank + 1
  return each({ axis: axis >= 0 && axis <= rows.axis ? rows.axis + 1 : rows.axis, rank })
}

/** A rule for operators that do something to their first input, and take the others as settings. */
function led(rule: (step: Step, rows: Rows) => Followed): (step: Step) => Followed {
  return (step) => {
    const rows = first(step)
    return rows === undefined ? together('takes its settings from rows') : rule(step, rows)
  }
}

const RULES: Readonly<Record<string, (step: Step) => Followed>> = {
  MatMul: (step) => product(step, 0, 1),
  MatMulInteger: (step) => product(step, 0, 1),
  MatMulIntegerToFloat: (step) => product(step, 0, 1),
  MatMulNBits: (step) => product(step, 0, 1),
  FusedMatMul: (step) =>
    integer(step.node, 'transA', 0) + integer(step.node, 'transB', 0) + integer(step.node, 'transBatchA', 0) === 0
      ? product(step, 0, 1)
      : product({ ...step, rows: new Map([...step.rows].filter(([name]) => name === step.node.input[0])) }, 0, 1),
  QLinearMatMul: (step) => product(step, 0, 3),
  Gemm: gemm,
  FusedGemm: gemm,
  QGemm: (step) => (step.rows.has(step.node.input[3] ?? '') ? together('multiplies rows of a batch with one another') : gemm(step)),
  Conv: convolution,
  ConvInteger: convolution,
  ConvTranspose: convolution,
  DeformConv: (step) => each(first(step)),
  QLinearConv: convolution,
  Einsum: einsum,
  Gather: gather,
  GatherElements: along(0, 'picks among the rows of a batch'),
  GatherND: (step) =>
    step.rows.has(step.node.input[0] ?? '') && integer(step.node, 'batch_dims', 0) === 0
      ? together('picks among the rows of a batch')
      : each(first(step) ?? step.rows.get(step.node.input[1]!)),
  ScatterElements: along(0, 'writes into rows of a batch'),
  Scatter: along(0, 'writes into rows of a batch'),
  ScatterND: () => together('writes into rows of a batch'),
  Concat: (step) => {
    const carrying = step.node.input.map((name) => step.rows.get(name)).filter((one) => one !== undefined)
    const [rows] = carrying
    const axis = fromFront(integer(step.node, 'axis', 1), rows!)
    if (carrying.some((one) => one.axis !== rows!.axis)) return together('sets rows of a batch against one another')
    return axis === rows!.axis ? together('adds rows to a batch') : each(rows)
  },
  Split: along(0, 'cuts a batch apart'),
  SplitToSequence: () => together('cuts a batch apart'),
  Compress: along(0, 'leaves out rows of a batch'),
  TopK: along(-1, 'sorts the rows of a batch'),
  Softmax: (step) =>
    step.opset < 13 ? from(1, 'divides by a sum over all rows')(step) : along(-1, 'divides by a sum over all rows')(step),
  LogSoftmax: (step) =>
    step.opset < 13 ? from(1, 'divides by a sum over all rows')(step) : along(-1, 'divides by a sum over all rows')(step),
  Hardmax: (step) => (step.opset < 13 ? from(1, 'picks one of all rows')(step) : along(-1, 'picks one of all rows')(step)),
  LpNormalization: along(-1, 'normalises over all rows'),
  LayerNormalization: from(-1, 'normalises over all rows'),
  RMSNormalization: from(-1, 'normalises over all rows'),
  BatchNormalization: (step) => (integer(step.node, 'training_mode', 0) === 1 ? together('normalises over all rows') : each(first(step))),
  MeanVarianceNormalization: led((step, rows) => {
    const axes = integers(step.node, 'axes') ?? [0, 2, 3]
    return axes.some((axis) => fromFront(axis, rows) === rows.axis) ? together('normalises over all rows') : each(rows)
  }),
  Dropout: (step) =>
    step.constants.get(step.node.input[2] ?? '')?.values[0] === 1 ? together('answers at random') : { outputs: [first(step), first(step)] },
  CumSum: cumulative,
  CumProd: cumulative,
  ReverseSequence: led((step, rows) => {
    return integer(step.node, 'time_axis', 0) === rows.axis ? together('takes the rows of a batch for steps of a sequence') : each(rows)
  }),
  RNN: led(recurrent),
  GRU: led(recurrent),
  LSTM: led(recurrent),
  OneHot: oneHot,
  Transpose: led(transpose),
  Reshape: reshape,
  Flatten: led(flatten),
  Squeeze: led(squeeze),
  Unsqueeze: led(unsqueeze),
  Slice: led(slice),
  Pad: led(pad),
}

interface Constant {
  readonly values: readonly number[]
  readonly rank: number
}

/** Constants that may say axes and shapes: short lists of integers, and flags. */
function constantsOf(graph: GraphProto): Map<string, Constant> {
  const found = new Map<string, Constant>()
  const note = (name: string, tensor: TensorProto): void => {
    const values = integersOf(tensor)
    if (values !== undefined) found.set(name, { values, rank: tensor.dims.length })
  }
  for (const tensor of graph.initializer) note(tensor.name, tensor)
  for (const node of graph.node) {
    const [output] = node.output
    if (node.opType !== 'Constant' || output === undefined) continue
    for (const attribute of node.attribute) {
      if (attribute.t !== undefined) note(output, attribute.t)
      else if (attribute.name === 'value_ints') found.set(output, { values: attribute.ints.map(Number), rank: 1 })
      else if (attribute.name === 'value_int') found.set(output, { values: [Number(attribute.i)], rank: 0 })
    }
  }
  return found
}

const CONSTANT_LENGTH_MAX = 64

function integersOf({ dataType, dims, rawData, int64Data, int32Data, dataLocation }: TensorProto): number[] | undefined {
  const count = dims.reduce((size, dim) => size * Number(dim), 1)
  if (count > CONSTANT_LENGTH_MAX || (dataLocation as number) === 1) return undefined
  const raw =
    rawData === undefined || rawData.length === 0 ? undefined : new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength)
  const read = (width: number, at: (view: DataView, offset: number) => number): number[] | undefined =>
    raw === undefined ? undefined : Array.from({ length: count }, (_, index) => at(raw, index * width))
  // INT64, INT32, BOOL (onnx.proto, TensorProto.DataType).
  if (dataType === 7) return read(8, (view, offset) => Number(view.getBigInt64(offset, true))) ?? int64Data.map(Number)
  if (dataType === 6) return read(4, (view, offset) => view.getInt32(offset, true)) ?? [...int32Data]
  if (dataType === 9) return read(1, (view, offset) => view.getUint8(offset)) ?? [...int32Data]
  return undefined
}

function attributeOf(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((attribute) => attribute.name === name)
}

function integer(node: NodeProto, name: string, standard: number): number {
  const attribute = attributeOf(node, name)
  return attribute === undefined ? standard : Number(attribute.i)
}

function integers(node: NodeProto, name: string): number[] | undefined {
  return attributeOf(node, name)?.ints.map(Number)
}
