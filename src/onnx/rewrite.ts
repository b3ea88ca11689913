import { create } from '@bufbuild/protobuf'
import { SlipwayError } from '../core/errors.ts'
import { datatypeOfOnnx } from '../tensor/datatype.ts'
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  NodeProtoSchema,
  TensorProto_DataType,
  TypeProtoSchema,
} from './generated/onnx_pb.js'
import { graphOf, graphs } from './model.ts'
import { tensorOfProto } from './tensor-proto.ts'
import { valueType } from './value-type.ts'
import type { GraphProto, ModelProto, NodeProto } from './model.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Findings and changes of the rewrites. */
export interface Rewrite {
  /** One line for each change; empty when the file can be used as it is. */
  readonly changes: readonly string[]
  /** Class labels of a removed ZipMap, by the output that now holds the probabilities. */
  readonly labels: ReadonlyMap<string, readonly (string | number)[]>
  /** Default values of inputs, where the model gives one. */
  readonly defaults: ReadonlyMap<string, Tensor>
}

/**
 * Changes, in place, the parts of a model that ONNX Runtime for JavaScript cannot handle:
 * - a final ZipMap (a sequence of maps) becomes the tensor of probabilities, and its keys become class labels;
 * - BF16 inputs and outputs are passed as FP32, with a Cast inside (exact in both directions);
 * - an input that also has an initialiser, which the runtime hides and ignores, becomes a real input with a default.
 */
export function rewriteForRuntime(model: ModelProto): Rewrite {
  const graph = graphOf(model)
  const changes: string[] = []
  const labels = removeZipMaps(graph, changes)
  const defaults = exposeInitialisedInputs(model, graph, changes)
  castBfloat16(graph, changes)
  return { changes, labels, defaults }
}

function removeZipMaps(graph: GraphProto, changes: string[]): Map<string, readonly (string | number)[]> {
  const labels = new Map<string, readonly (string | number)[]>()
  for (const output of graph.output) {
    const node = graph.node.find((candidate) => candidate.opType === 'ZipMap' && candidate.output[0] === output.name)
    if (node === undefined) continue
    const strings = node.attribute.find((attribute) => attribute.name === 'classlabels_strings')?.strings ?? []
    const integers = node.attribute.find((attribute) => attribute.name === 'classlabels_int64s')?.ints ?? []
    const keys = strings.length > 0 ? strings.map((bytes) => Buffer.from(bytes).toString('utf8')) : integers.map(Number)
    node.opType = 'Identity'
    node.domain = ''
    node.attribute = []
    output.type = tensorType(TensorProto_DataType.FLOAT, [-1n, BigInt(keys.length)])
    labels.set(output.name, keys)
    changes.push(`ZipMap removed: output "${output.name}" is a tensor with ${keys.length} probabilities a row`)
  }
  return labels
}

function tensorType(elemType: TensorProto_DataType, dims: bigint[]): ReturnType<typeof create<typeof TypeProtoSchema>> {
  return create(TypeProtoSchema, {
    value: {
      case: 'tensorType',
      value: {
        elemType,
        shape: { dim: dims.map((dim) => ({ value: dim < 0n ? { case: undefined } : { case: 'dimValue' as const, value: dim } })) },
      },
    },
  })
}

/** Initialisers listed as inputs with more values than this in total are weights that an exporter listed needlessly. */
const DEFAULT_VALUES_MAX = 64

/**
 * Before IR version 4 every initialiser had to be listed as an input, so there such inputs are weights. From 4 on they are inputs with a
 * default, unless the exporter listed all weights (`keep_initializers_as_inputs`), which their size shows.
 */
function exposeInitialisedInputs(model: ModelProto, graph: GraphProto, changes: string[]): Map<string, Tensor> {
  const defaults = new Map<string, Tensor>()
  const initialised = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]))
  const both = graph.input.filter((input) => initialised.has(input.name))
  if (both.length === 0) return defaults
  const values = both.reduce(
    (sum, input) => sum + (initialised.get(input.name)?.dims ?? []).reduce((product, dim) => product * Number(dim), 1),
    0,
  )
  const areWeights = model.irVersion < 4n || (both.length === graph.initializer.length && values > DEFAULT_VALUES_MAX)
  for (const input of both) {
    const tensor = initialised.get(input.name)
    if (tensor === undefined) continue
    if (areWeights) {
      graph.input.splice(graph.input.indexOf(input), 1)
      continue
    }
    defaults.set(input.name, tensorOfProto(tensor))
    graph.initializer.splice(graph.initializer.indexOf(tensor), 1)
    changes.push(`input "${input.name}" has an initialiser: made a real input whose default is that value`)
  }
  return defaults
}

function castBfloat16(graph: GraphProto, changes: string[]): void {
  for (const input of graph.input) {
    if (!isBfloat16(input)) continue
    const inner = freshName(graph, `${input.name}_bf16`)
    renameUses(graph, input.name, inner)
    graph.node.unshift(castNode(input.name, inner, TensorProto_DataType.BFLOAT16))
    setElemType(input, TensorProto_DataType.FLOAT)
    changes.push(`input "${input.name}" is BF16: carried as FP32 with a Cast`)
  }
  for (const output of graph.output) {
    if (!isBfloat16(output)) continue
    const inner = freshName(graph, `${output.name}_bf16`)
    const producer = graph.node.find((node) => node.output.includes(output.name))
    if (producer === undefined) {
      throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `output "${output.name}" is BF16 and is produced by no node`)
    }
    producer.output = producer.output.map((name) => (name === output.name ? inner : name))
    renameUses(graph, output.name, inner)
    graph.node.push(castNode(inner, output.name, TensorProto_DataType.FLOAT))
    setElemType(output, TensorProto_DataType.FLOAT)
    changes.push(`output "${output.name}" is BF16: carried as FP32 with a Cast`)
  }
}

function isBfloat16(value: GraphProto['input'][number]): boolean {
  const type = valueType(value)
  return 'spec' in type && type.spec.datatype === 'BF16'
}

function setElemType(value: GraphProto['input'][number], elemType: TensorProto_DataType): void {
  if (value.type?.value.case === 'tensorType') value.type.value.value.elemType = elemType
}

function renameUses(graph: GraphProto, from: string, to: string): void {
  for (const inner of graphs(graph)) {
    for (const node of inner.node) node.input = node.input.map((name) => (name === from ? to : name))
    // A branch of If may pass an outer value straight through.
    if (inner !== graph) for (const output of inner.output) if (output.name === from) output.name = to
  }
}

function freshName(graph: GraphProto, wanted: string): string {
  const taken = new Set<string>()
  for (const inner of graphs(graph)) {
    for (const node of inner.node) for (const name of node.output) taken.add(name)
    for (const value of [...inner.input, ...inner.initializer]) taken.add(value.name)
  }
  let name = wanted
  while (taken.has(name)) name += '_'
  return name
}

function castNode(input: string, output: string, to: TensorProto_DataType): NodeProto {
  return create(NodeProtoSchema, {
    opType: 'Cast',
    name: `slipway_cast_${output}`,
    input: [input],
    output: [output],
    attribute: [create(AttributeProtoSchema, { name: 'to', type: AttributeProto_AttributeType.INT, i: BigInt(to) })],
  })
}

/** Refuses, by name, inputs, outputs and initialisers that cannot be served. */
export function refuseUnsupported(model: ModelProto, path: string): void {
  const graph = graphOf(model)
  for (const [kind, values] of [
    ['input', graph.input],
    ['output', graph.output],
  ] as const) {
    for (const value of values) {
      const type = valueType(value)
      if ('unsupported' in type) {
        throw new SlipwayError(
          'SLW_MODEL_UNSUPPORTED',
          `${path}: ${kind} "${value.name}" is ${type.unsupported}; only tensors of the types of the Open Inference Protocol can be served`,
        )
      }
    }
  }
  for (const tensor of graph.initializer) {
    if (tensor.dataType === TensorProto_DataType.UNDEFINED && datatypeOfOnnx(tensor.dataType) === undefined) {
      throw new SlipwayError('SLW_MODEL_INVALID', `${path}: initialiser "${tensor.name}" has no datatype`)
    }
  }
}
