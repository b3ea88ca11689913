/**
 * Finds operators whose duration, or whose output, has no bound that the shapes of the inputs give: by one value in a request a run may go on
 * for ever, or ask for all memory. Operators: ONNX, opsets 1 to 23 (https://onnx.ai/onnx/operators), ai.onnx.ml, and the fused operators of
 * ONNX Runtime (com.microsoft).
 */
import { DATATYPES } from '../tensor/datatype.ts'
import { graphOf, graphs } from './model.ts'
import type { FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.js'

/** What is open about the runs of a model; each names the first operator, and why. */
export interface OpenEnded {
  /** Duration: an operator that goes one way or another, or repeats, by values, or one that is not known. */
  readonly duration: string | undefined
  /** End: a loop that goes on as long as values say. */
  readonly end: string | undefined
  /** Size: an operator that makes an output as large as a value says. */
  readonly size: string | undefined
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
  const functions = new Map(model.functions.map((fn) => [nameOf(fn.domain, fn.name), fn]))
  const found: Found = {}
  const initialised = new Set(graph.initializer.map(({ name }) => name))
  // Tensors that depend on the values of inputs, and not on their shapes alone.
  const values = new Set(graph.input.map(({ name }) => name).filter((name) => !initialised.has(name)))
  const integers = integersOf(graph)
  for (const node of graph.node) {
    look(node, { values, integers }, { functions, found })
    if (SHAPES.has(node.opType) || !dependsOn(node, values)) continue
    for (const name of node.output) if (name !== '') values.add(name)
  }
  return { duration: found.duration, end: found.end, size: found.size }
}

/** What is known of the tensors of a graph. */
interface Outside {
  /** Those that depend on values of inputs. */
  readonly values: ReadonlySet<string>
  readonly integers: ReadonlyMap<string, bigint>
}

interface Found {
  duration?: string
  end?: string
  size?: string
}

interface Looking {
  readonly functions: ReadonlyMap<string, FunctionProto>
  readonly found: Found
}

function look(node: NodeProto, { values, integers }: Outside, { functions, found }: Looking): void {
  const label = `${node.opType}${node.name === '' ? '' : ` "${node.name}"`}`
  const { opType, domain } = node
  if (functions.has(nameOf(domain, opType))) {
    // What a function does is not followed: in doubt it is open.
    const inside = [...innerNodes(functions.get(nameOf(domain, opType))!)]
    const risky = inside.find((inner) => REPEATS.has(inner.opType) || functions.has(nameOf(inner.domain, inner.opType)))
    if (risky !== undefined) {
      found.duration ??= `${label} is a function with ${risky.opType} inside`
      found.end ??= found.duration
    }
    const sizing = inside.find((inner) => SIZE_INPUTS[inner.opType] !== undefined)
    if (sizing !== undefined && dependsOn(node, values)) found.size ??= `${label} is a function with ${sizing.opType} inside`
    return
  }
  if (!DOMAINS.has(domain)) found.duration ??= `${label} is of the domain ${domain}, of which nothing is known`
  if (REPEATS.has(opType) && dependsOn(node, values)) {
    found.duration ??= `${label} runs the graphs inside it as values say`
    const inside = node.attribute.flatMap(({ g }) => (g === undefined ? [] : [...graphs(g)])).flatMap((graph) => graph.node)
    const loop = [node, ...inside].find(
      (inner) => inner.opType === 'Loop' && isUnbounded(inner, inner === node ? { values, integers } : undefined),
    )
    if (loop !== undefined) {
      found.end ??=
        loop === node ? `${label} goes on as long as values say` : `${label} has a Loop inside that goes on as long as values say`
      found.size ??= `${label} answers as much as it makes rounds`
    }
    // Values of a graph inside are not followed: in doubt they depend on those of inputs.
    const sizing = inside.find((inner) => SIZE_INPUTS[inner.opType] !== undefined)
    if (sizing !== undefined) found.size ??= `${label} has ${sizing.opType} inside`
  }
  const sizes = SIZE_INPUTS[opType]?.map((index) => node.input[index] ?? '').find((name) => values.has(name))
  if (sizes !== undefined) found.size ??= `${label} makes an output as large as the values of "${sizes}" say`
}

/** More rounds than a loop counts through on purpose; exporters write the largest number there is where only the condition counts. */
const ROUNDS_MAX = 1_000_000n

/**
 * Whether a Loop may go on as long as values say: nothing but its condition ends it, or its number of rounds depends on values.
 * @param outside what is known outside of the loop. Undefined: nothing
 */
function isUnbounded({ input: [rounds = ''] }: NodeProto, outside: Outside | undefined): boolean {
  if (rounds === '' || outside === undefined || outside.values.has(rounds)) return true
  return (outside.integers.get(rounds) ?? 0n) > ROUNDS_MAX
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

/** Whether an output depends on the values of inputs; graphs inside a node may use whatever is there. */
function dependsOn(node: NodeProto, values: ReadonlySet<string>): boolean {
  if (node.input.some((name) => values.has(name))) return true
  const inner = node.attribute.flatMap(({ g }) => (g === undefined ? [] : [...graphs(g)]))
  return inner.some((graph) => graph.node.some(({ input }) => input.some((name) => values.has(name))))
}

function* innerNodes(fn: FunctionProto): Generator<NodeProto> {
  for (const node of fn.node) {
    yield node
    for (const { g } of node.attribute) if (g !== undefined) for (const graph of graphs(g)) yield* graph.node
  }
}

function nameOf(domain: string, opType: string): string {
  return `${domain === 'ai.onnx' ? '' : domain}:${opType}`
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
  const functions = new Map(model.functions.map((fn) => [nameOf(fn.domain, fn.name), fn]))
  const counts = new Map<string, number>()
  const countAll = (nodes: readonly NodeProto[], depth: number): number => {
    if (depth > DEPTH_MAX) return Number.POSITIVE_INFINITY
    let sum = 0
    for (const node of nodes) {
      sum += countOf(nameOf(node.domain, node.opType), depth)
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
