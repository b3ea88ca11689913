/**
 * Finds operators whose duration, or whose output, has no bound that the shapes of the inputs give: by one value in a request a run may go on
 * for ever, ask for all memory, or end the process. Operators: ONNX, opsets 1 to 23 (https://onnx.ai/onnx/operators), ai.onnx.ml, and the fused operators of
 * ONNX Runtime (com.microsoft).
 */
import { DATATYPES } from '../tensor/datatype.ts'
import { functionName, functionsByName, graphOf, graphs } from './model.ts'
import { trappingDivision } from './trapping-division.ts'
import type { FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.js'

/** What is open about the runs of a model; each names the first operator, and why. */
export interface OpenEnded {
  /** Duration: an operator that goes one way or another, or repeats, by values, or one that is not known. */
  readonly duration: string | undefined
  /** End: a loop that goes on as long as values say. */
  readonly end: string | undefined
  /** Size: an operator that makes an output as large as a value says. */
  readonly size: string | undefined
  /** Trap: an operator that ends the whole process for some values. */
  readonly trap: string | undefined
}

/** Operators with graphs inside; how often these are run is up to values. */
const REPEATS = new Set('Loop Scan SequenceMap If'.split(' '))
const DOMAINS = new Set(['', 'ai.onnx', 'ai.onnx.ml', 'com.microsoft'])

/** Inputs that give the size of an output, by operator. */
const SIZE_INPUTS: Readonly<Record<string, readonly number[]>> = {
  BlackmanWindow: [0],
  CenterCropPad: [1],
  Col2Im: [1],
  ConstantOfShape: [0],
  DFT: [1],
  Expand: [1],
  HammingWindow: [0],
  HannWindow: [0],
  MaxUnpool: [2],
  MelWeightMatrix: [0, 1],
  OneHot: [1],
  Pad: [1],
  Range: [0, 1, 2],
  Resize: [1, 2, 3],
  AffineGrid: [1],
  Tile: [1],
  Upsample: [1],
}

/** These say something of the shape of a tensor, and nothing of its values. */
const SHAPES = new Set(['Shape', 'Size'])

export function openEnded(model: ModelProto): OpenEnded {
  const graph = graphOf(model)
  const functions = new Functions(model)
  const found: Found = {}
  const initialised = new Set(graph.initializer.map(({ name }) => name))
  const outside: Outside = {
    values: new Set(graph.input.map(({ name }) => name).filter((name) => !initialised.has(name))),
    shapes: new Set(),
    integers: integersOf(graph),
  }
  for (const node of graph.node) {
    look(node, outside, { functions, found })
    const { values, shapes } = outside
    const ofShapes = SHAPES.has(node.opType)
    const ofValues = !ofShapes && dependsOn(node, values)
    if (ofValues) for (const name of node.output) if (name !== '') values.add(name)
    if (ofShapes || (!ofValues && dependsOn(node, shapes))) for (const name of node.output) if (name !== '') shapes.add(name)
  }
  return { duration: found.duration, end: found.end, size: found.size, trap: trappingDivision(model) }
}

/** What is known of the tensors of a graph. */
interface Outside {
  /** Those that depend on values of inputs. */
  readonly values: Set<string>
  /** Those that depend on shapes of inputs, and on no values. */
  readonly shapes: Set<string>
  readonly integers: ReadonlyMap<string, bigint>
}

interface Found {
  duration?: string
  end?: string
  size?: string
}

interface Looking {
  readonly functions: Functions
  readonly found: Found
}

function look(node: NodeProto, outside: Outside, { functions, found }: Looking): void {
  const { values } = outside
  const label = `${node.opType}${node.name === '' ? '' : ` "${node.name}"`}`
  const { opType, domain } = node
  const inside = functions.insideOf(node)
  if (inside !== undefined) {
    // What goes into a function is not followed: in doubt it is open.
    if (inside.repeats !== undefined) found.duration ??= `${label} is a function with ${inside.repeats} inside`
    if (inside.loops) found.end ??= `${label} is a function with a Loop inside`
    if (inside.sizes !== undefined && dependsOn(node, values)) found.size ??= `${label} is a function with ${inside.sizes} inside`
    return
  }
  if (!DOMAINS.has(domain)) found.duration ??= `${label} is of the domain ${domain}, of which nothing is known`
  if (REPEATS.has(opType)) {
    const nodes = innerNodes([node]).slice(1)
    const open = dependsOn(node, values)
    if (open) found.duration ??= `${label} runs the graphs inside it as values say`
    const loop = [node, ...nodes].find((inner) => inner.opType === 'Loop' && isUnbounded(inner, inner === node ? outside : undefined))
    if (loop === node || (loop !== undefined && open)) {
      found.duration ??= `${label} may go on for ever`
      found.end ??=
        loop === node ? `${label} goes on as long as values say` : `${label} has a Loop inside that goes on as long as values say`
      found.size ??= `${label} answers as much as it makes rounds`
    }
    const sizing = open ? sizingIn(nodes, (name) => !values.has(name)) : undefined
    if (sizing !== undefined) found.size ??= `${label} has ${sizing} inside`
  }
  const sizes = sizeInputs(node).find((name) => values.has(name))
  if (sizes !== undefined) found.size ??= `${label} makes an output as large as the values of "${sizes}" say`
}

function sizeInputs({ opType, input }: NodeProto): string[] {
  return (SIZE_INPUTS[opType] ?? []).map((index) => input[index] ?? '').filter((name) => name !== '')
}

/**
 * The first operator of these nodes, which lie inside something, whose output is as large as a value says that is no constant.
 * @param isFixed whether a tensor from outside is none that depends on values
 */
function sizingIn(nodes: readonly NodeProto[], isFixed: (name: string) => boolean): string | undefined {
  const made = new Set(nodes.flatMap(({ output }) => output))
  const constant = new Set(nodes.filter(({ opType }) => opType === 'Constant' || SHAPES.has(opType)).flatMap(({ output }) => output))
  return nodes.find((node) => sizeInputs(node).some((name) => (made.has(name) ? !constant.has(name) : !isFixed(name))))?.opType
}

/** Whether an output depends on these tensors; graphs inside a node may use whatever is there. */
function dependsOn(node: NodeProto, names: ReadonlySet<string>): boolean {
  return innerNodes([node]).some(({ input }) => input.some((name) => names.has(name)))
}

/** These nodes and those of all graphs inside them. */
function innerNodes(nodes: readonly NodeProto[]): NodeProto[] {
  return nodes.flatMap((node) => [
    node,
    ...node.attribute
      .flatMap(({ g, graphs: more }) => (g === undefined ? more : [g, ...more]))
      .flatMap((graph) => [...graphs(graph)].flatMap((one) => one.node)),
  ])
}

/** What a function comes to, with the functions that it uses. */
interface Inside {
  readonly repeats: string | undefined
  readonly loops: boolean
  readonly sizes: string | undefined
}

/** The functions of a model; each is looked through once. */
class Functions {
  readonly #functions: ReadonlyMap<string, FunctionProto>
  readonly #inside = new Map<string, Inside>()

  constructor({ functions }: ModelProto) {
    this.#functions = functionsByName(functions)
  }

  /** Undefined for a node that is no function. */
  insideOf({ domain, opType, overload }: NodeProto): Inside | undefined {
    const name = functionName(domain, opType, overload)
    const fn = this.#functions.get(name)
    if (fn === undefined) return undefined
    const known = this.#inside.get(name)
    if (known !== undefined) return known
    // Functions that use themselves are refused before (expandedNodes).
    this.#inside.set(name, { repeats: undefined, loops: false, sizes: undefined })
    const nodes = innerNodes(fn.node)
    const used = nodes.flatMap((node) => this.insideOf(node) ?? [])
    const inside: Inside = {
      repeats: nodes.find(({ opType: inner }) => REPEATS.has(inner))?.opType ?? used.find(({ repeats }) => repeats !== undefined)?.repeats,
      loops: nodes.some(({ opType: inner }) => inner === 'Loop') || used.some(({ loops }) => loops),
      sizes: sizingIn(nodes, () => false) ?? used.find(({ sizes }) => sizes !== undefined)?.sizes,
    }
    this.#inside.set(name, inside)
    return inside
  }
}

/** More rounds than a loop counts through on purpose; exporters write the largest number there is where only the condition counts. */
const ROUNDS_MAX = 1_000_000n

/**
 * Whether a Loop may go on as long as values say: nothing but its condition ends it, or its number of rounds depends on values.
 * @param outside what is known outside of the loop. Undefined: nothing
 */
function isUnbounded({ input: [rounds = ''] }: NodeProto, outside: Outside | undefined): boolean {
  if (rounds === '' || outside === undefined || outside.values.has(rounds)) return true
  if (outside.shapes.has(rounds)) return false
  const count = outside.integers.get(rounds)
  return count === undefined || count > ROUNDS_MAX
}

/** Single integers that are constants, by name. */
function integersOf(graph: GraphProto): Map<string, bigint> {
  const found = new Map<string, bigint>()
  const add = (name: string, tensor: TensorProto | undefined): void => {
    if (tensor?.dataType !== DATATYPES.INT64.onnx) return
    const [only] = tensor.int64Data
    const { rawData } = tensor
    if (only !== undefined) found.set(name, only)
    else if (rawData?.length === 8) found.set(name, Buffer.from(rawData).readBigInt64LE())
  }
  for (const tensor of graph.initializer) add(tensor.name, tensor)
  for (const { opType, output, attribute } of graph.node)
    if (opType === 'Constant') {
      const value = attribute.find(({ name }) => name === 'value' || name === 'value_int')
      if (value?.name === 'value_int') found.set(output[0] ?? '', value.i)
      else add(output[0] ?? '', value?.t)
    }
  return found
}

/** More nodes than real models have, of which the largest have some hundred thousand. */
export const NODES_MAX = 2_000_000
/** More graphs inside one another than real models have. */
const DEPTH_MAX = 64

/**
 * Number of nodes of a model when all its functions are put in their places, as a runtime does before anything else: a file of two
 * kilobytes may come to hundreds of millions. Infinity where functions use themselves, or graphs lie too deep inside one another.
 */
export function expandedNodes(model: ModelProto): number {
  const functions = functionsByName(model.functions)
  const counts = new Map<string, number>()
  const countAll = (nodes: readonly NodeProto[], depth: number): number => {
    if (depth > DEPTH_MAX) return Number.POSITIVE_INFINITY
    let sum = 0
    for (const node of nodes) {
      sum += countOf(functionName(node.domain, node.opType, node.overload), depth)
      for (const { g, graphs: more } of node.attribute)
        for (const graph of g === undefined ? more : [g, ...more]) sum += countAll(graph.node, depth + 1)
    }
    return sum
  }
  const countOf = (name: string, depth: number): number => {
    const fn = functions.get(name)
    if (fn === undefined) return 1
    const known = counts.get(name)
    if (known !== undefined) return known
    // A function that uses itself finds this.
    counts.set(name, Number.POSITIVE_INFINITY)
    const count = countAll(fn.node, depth + 1)
    counts.set(name, count)
    return count
  }
  return countAll(graphOf(model).node, 0)
}
