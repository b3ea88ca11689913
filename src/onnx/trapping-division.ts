/**
 * Finds divisions that end the process: the least integer divided by -1 has no result, and the processor traps (SIGFPE), where ONNX Runtime
 * looks only for a divisor of 0. One value in a request is enough.
 */
import { DATATYPES } from '../tensor/datatype.ts'
import { functionName, functionsByName, graphOf } from './model.ts'
import type { FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.js'

/** What is known of a tensor. */
interface Known {
  /** Whether it may have integers of 32 or 64 bits with a sign; shorter ones are divided as longer ones. */
  readonly whole: boolean
  /** Whether values of inputs decide what is in it, and not their shapes alone. */
  readonly values: boolean
  /** Whether it is a constant without a -1. */
  readonly harmless?: boolean
  /** Whether it counts something, and is never below 0. */
  readonly natural?: boolean
}

const NOTHING: Known = { whole: false, values: false }

/** Tensors by name; a graph inside a node sees those outside. */
class Scope {
  readonly #outer: Scope | undefined
  readonly #own = new Map<string, Known>()

  constructor(outer?: Scope) {
    this.#outer = outer
  }

  get(name: string): Known {
    return this.#own.get(name) ?? this.#outer?.get(name) ?? NOTHING
  }

  set(name: string, known: Known): void {
    if (name !== '') this.#own.set(name, known)
  }
}

/** Names the first division of a model that can end the process by what a request holds. */
export function trappingDivision(model: ModelProto): string | undefined {
  const walk = new Walk(model)
  const graph = graphOf(model)
  const scope = new Scope()
  const constants = new Set(graph.initializer.map(({ name }) => name))
  for (const { name, type } of graph.input) if (!constants.has(name)) scope.set(name, { whole: wholeType(type), values: true })
  walk.graph(graph, scope)
  return walk.found
}

class Walk {
  found: string | undefined
  readonly #functions: ReadonlyMap<string, FunctionProto>
  /** What functions make of inputs of some kind. */
  readonly #made = new Map<string, readonly Known[]>()

  constructor({ functions }: ModelProto) {
    this.#functions = functionsByName(functions)
  }

  graph(graph: GraphProto, scope: Scope): void {
    for (const tensor of graph.initializer) scope.set(tensor.name, constant(tensor))
    for (const node of graph.node) this.#node(node, scope)
  }

  #node(node: NodeProto, scope: Scope): void {
    const { opType, domain, overload, input, output } = node
    const inputs = input.map((name) => scope.get(name))
    const values = inputs.some((known) => known.values)
    const fn = this.#functions.get(functionName(domain, opType, overload))
    if (fn !== undefined) {
      const made = this.#function(fn, inputs)
      for (const [index, name] of output.entries()) scope.set(name, made[index] ?? NOTHING)
      return
    }
    if (opType === 'Constant' || (opType === 'ConstantOfShape' && !values)) {
      scope.set(output[0] ?? '', ofAttributes(node))
      return
    }
    // Whether the graphs inside give integers, by output; a Loop has one more before them, which says whether it goes on.
    const inner: boolean[] = []
    let inside = values
    for (const { g, graphs: more } of node.attribute)
      for (const graph of g === undefined ? more : [g, ...more]) {
        const within = new Scope(scope)
        for (const { name, type } of graph.input) within.set(name, { whole: wholeType(type), values: true })
        this.graph(graph, within)
        for (const [index, { name }] of graph.output.slice(opType === 'Loop' ? 1 : 0).entries()) {
          const known = within.get(name)
          inner[index] ||= known.whole
          inside ||= known.values
        }
      }
    const [dividend = NOTHING, divisor = NOTHING] = inputs
    if (isDivision(node) && values && (dividend.whole || divisor.whole) && dividend.natural !== true && divisor.harmless !== true)
      this.found ??= `${opType}${node.name === '' ? '' : ` "${node.name}"`} divides integers, which ends the process where the least of all is divided by -1`
    const counts = COUNTS.has(opType)
    for (const [index, name] of output.entries())
      scope.set(name, {
        whole: inner[index] === true || makesWhole(node, index, inputs),
        values: inside && opType !== 'Shape' && opType !== 'Size',
        natural: counts || (index > 0 && POSITIONS.has(opType)) || (PASSES.has(opType) && dividend.natural === true),
        harmless: PASSES.has(opType) && dividend.harmless === true,
      })
  }

  #function(fn: FunctionProto, inputs: readonly Known[]): readonly Known[] {
    const kind = `${functionName(fn.domain, fn.name, fn.overload)} ${inputs.map(({ whole, values, harmless = false, natural = false }) => `${Number(whole)}${Number(values)}${Number(harmless)}${Number(natural)}`).join(' ')}`
    const before = this.#made.get(kind)
    if (before !== undefined) return before
    // Functions that use themselves are refused before (expandedNodes).
    this.#made.set(kind, [])
    const scope = new Scope()
    for (const [index, name] of fn.input.entries()) scope.set(name, inputs[index] ?? NOTHING)
    for (const node of fn.node) this.#node(node, scope)
    const made = fn.output.map((name) => scope.get(name))
    this.#made.set(kind, made)
    return made
  }
}

function isDivision({ opType, domain, attribute }: NodeProto): boolean {
  if (domain !== '' && domain !== 'ai.onnx') return false
  return opType === 'Div' || (opType === 'Mod' && attribute.every(({ name, i }) => name !== 'fmod' || i === 0n))
}

const WHOLE: ReadonlySet<number> = new Set([DATATYPES.INT32.onnx, DATATYPES.INT64.onnx])

/** A type that is not declared may be one of integers. */
function wholeType(type: GraphProto['input'][number]['type']): boolean {
  return type?.value.case === 'tensorType' ? WHOLE.has(type.value.value.elemType) : true
}

/** Operators that count, or say where something is. */
const COUNTS = new Set('ArgMax ArgMin Multinomial NonMaxSuppression NonZero Shape Size'.split(' '))
/** Operators that make other integers of whatever. */
const MAKES = new Set('ConvInteger MatMulInteger MurmurHash3'.split(' '))
/** Operators that pass on what is in the first input. */
const PASSES = new Set('Cast Expand Flatten Gather Identity Reshape Slice Squeeze Tile Transpose Unsqueeze'.split(' '))
/** Operators whose outputs after the first are positions. */
const POSITIONS = new Set('MaxPool TopK Unique'.split(' '))
/** Operators that make no integers, though the first input may be some. */
const MEASURES = new Set(
  'DequantizeLinear EmbedLayerNormalization Equal Greater GreaterOrEqual Less LessOrEqual QuantizeLinear BlackmanWindow HammingWindow HannWindow'.split(
    ' ',
  ),
)
/** The input whose type the outputs have, where it is not the first. */
const OF_INPUT: Readonly<Record<string, number>> = { CastLike: 1, OneHot: 2, Where: 1 }

/** Whether an output of an operator is of integers (types of outputs: https://onnx.ai/onnx/operators). */
function makesWhole({ opType, domain, attribute }: NodeProto, index: number, inputs: readonly Known[]): boolean {
  // What a function was called with is not followed.
  if (attribute.some(({ refAttrName }) => refAttrName !== '')) return true
  if (opType === 'SequenceEmpty') return attribute.every(({ name, i }) => name !== 'dtype' || WHOLE.has(Number(i)))
  if (opType === 'Cast') return attribute.some(({ name, i }) => name === 'to' && WHOLE.has(Number(i)))
  if (opType === 'ConstantOfShape') return attribute.some(({ t }) => t !== undefined && WHOLE.has(t.dataType))
  if (COUNTS.has(opType) || MAKES.has(opType) || (index > 0 && POSITIONS.has(opType))) return true
  if (MEASURES.has(opType)) return false
  if (domain === 'ai.onnx.ml') {
    // Classes are numbers or texts; scores, and what regressors answer, are floats.
    if (opType.endsWith('Classifier') || opType === 'LabelEncoder' || opType === 'CategoryMapper') return index === 0
    if (opType !== 'ArrayFeatureExtractor' && opType !== 'Imputer') return false
  }
  return inputs[OF_INPUT[opType] ?? 0]?.whole ?? false
}

function constant(tensor: TensorProto): Known {
  const whole = WHOLE.has(tensor.dataType)
  return { whole, values: false, harmless: !whole || !hasMinusOne(tensor) }
}

function ofAttributes({ attribute }: NodeProto): Known {
  for (const { name, t, i, ints } of attribute) {
    if (t !== undefined) return constant(t)
    if (name === 'value_int') return { whole: true, values: false, harmless: i !== -1n }
    if (name === 'value_ints') return { whole: true, values: false, harmless: !ints.includes(-1n) }
  }
  return NOTHING
}

/** Values in a file beside the model may be anything. */
function hasMinusOne({ dataType, int32Data, int64Data, rawData, dataLocation }: TensorProto): boolean {
  if ((dataLocation as number) !== 0) return true
  if (int32Data.includes(-1) || int64Data.includes(-1n)) return true
  // A copy lies as its numbers have to.
  const { buffer } = new Uint8Array(rawData)
  const length = (bytes: number): number => Math.floor(rawData.length / bytes)
  return dataType === DATATYPES.INT64.onnx
    ? new BigInt64Array(buffer, 0, length(8)).includes(-1n)
    : new Int32Array(buffer, 0, length(4)).includes(-1)
}
