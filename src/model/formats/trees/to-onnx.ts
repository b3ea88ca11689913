/** Writes an ensemble of trees as an ONNX graph that gives the same numbers. */
import { create } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from '../../../onnx/generated/onnx_pb.js'
import { ZERO } from './ensemble.ts'
import { layOut } from './lay-out.ts'
import { withMemberships } from './memberships.ts'
import type { AttributeProto, NodeProto, TensorProto, ValueInfoProto } from '../../../onnx/generated/onnx_pb.js'
import type { ModelProto } from '../../../onnx/model.ts'
import type { Ensemble } from './ensemble.ts'
import type { Forest } from './lay-out.ts'
import type { Memberships } from './memberships.ts'

export const INPUT = 'input'

/** An output of the graph. */
export interface TreeOutput {
  readonly name: string
  readonly datatype: 'FP32' | 'FP64' | 'INT64'
  readonly columns: number
}

const { FLOAT, DOUBLE, INT32, INT64, UINT8 } = TensorProto_DataType
const TYPES = { FP32: FLOAT, FP64: DOUBLE, INT32, INT64 } as const

/** The answer of a model: probabilities of the classes, a class, a number, or several. */
export function outputOf({ input, sums, format, base, link, classes }: Ensemble): TreeOutput {
  const datatype = format === 'xgboost' ? input : sums
  if (classes === undefined) return { name: 'prediction', datatype, columns: base.length }
  if (link.kind === 'step') return { name: 'label', datatype: 'INT64', columns: 1 }
  return { name: 'probabilities', datatype, columns: classes.length }
}

/**
 * The graph: sets of categories are looked up in tables, one operator has all trees (ai.onnx.ml TreeEnsemble 5), then the link in double
 * precision. Where the tables would be too large, trees search among the cuts of sets (TreeEnsembleRegressor 3). Operators:
 * https://onnx.ai/onnx/operators.
 * @param options.tables whether sets are looked up at all. Default: true
 */
export function toOnnx(ensemble: Ensemble, { tables = true }: { readonly tables?: boolean } = {}): ModelProto {
  const output = outputOf(ensemble)
  const graph = new Nodes()
  const sets = tables ? withMemberships(ensemble) : undefined
  const forest = layOut(sets === undefined ? ensemble : { ...ensemble, trees: sets.trees })
  const raw = sumsOf(graph, forest, { ...ensemble, columns: columnsOf(graph, ensemble, sets?.memberships) })
  graph.cast(linked(graph, raw, ensemble), TYPES[output.datatype], output.name)
  return create(ModelProtoSchema, {
    irVersion: 10n,
    producerName: 'slipway',
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: '', version: 18n }),
      create(OperatorSetIdProtoSchema, { domain: 'ai.onnx.ml', version: forest.shared ? 3n : 5n }),
    ],
    graph: create(GraphProtoSchema, {
      name: ensemble.format,
      node: graph.nodes,
      initializer: graph.constants,
      input: [valueInfo(INPUT, TYPES[ensemble.input], ensemble.featureCount)],
      output: [valueInfo(output.name, TYPES[output.datatype], output.columns)],
    }),
  })
}

/** Collects nodes; each method gives the name of what its node makes. */
class Nodes {
  readonly nodes: NodeProto[] = []
  readonly constants: TensorProto[] = []

  add(opType: string, input: readonly string[], options: { domain?: string; attributes?: AttributeProto[]; output?: string } = {}): string {
    const output = options.output ?? `${opType.toLowerCase()}_${this.nodes.length}`
    const { domain = '', attributes = [] } = options
    this.nodes.push(
      create(NodeProtoSchema, {
        opType,
        domain,
        name: `node_${this.nodes.length}`,
        input: [...input],
        output: [output],
        attribute: attributes,
      }),
    )
    return output
  }

  cast(from: string, to: TensorProto_DataType, output?: string): string {
    return this.add('Cast', [from], {
      attributes: [attribute('to', { type: AttributeProto_AttributeType.INT, i: BigInt(to) })],
      ...(output !== undefined && { output }),
    })
  }

  doubles(values: readonly number[]): string {
    return this.constant('FP64', values)
  }

  /** @param dims shape. Default: a list, or a scalar of one value */
  constant(datatype: 'FP32' | 'FP64' | 'INT32', values: readonly number[], dims = values.length === 1 ? [] : [values.length]): string {
    const name = `constant_${this.constants.length}`
    this.constants.push(tensor(datatype, Float64Array.from(values), { name, dims }))
    return name
  }

  longs(values: readonly number[]): string {
    const name = `constant_${this.constants.length}`
    const data = Buffer.from(BigInt64Array.from(values, BigInt).buffer)
    this.constants.push(create(TensorProtoSchema, { name, dims: [BigInt(values.length)], dataType: INT64, rawData: data }))
    return name
  }
}

/** What the trees ask: the features, those in which zeros are missing, and whether they are in sets. */
function columnsOf(graph: Nodes, { input, sums, zeroMissing }: Ensemble, memberships: Memberships | undefined): string {
  const features = input === sums ? INPUT : graph.cast(INPUT, TYPES[sums])
  const parts = [features]
  if (zeroMissing.length > 0) {
    const chosen = graph.add('Gather', [features, graph.longs(zeroMissing)], { attributes: [axis(1)] })
    const isZero = graph.add('LessOrEqual', [graph.add('Abs', [chosen]), graph.constant(sums, [ZERO])])
    parts.push(graph.add('Where', [isZero, graph.constant(sums, [Number.NaN]), chosen]))
  }
  if (memberships !== undefined) parts.push(membershipsOf(graph, features, sums, memberships))
  return parts.length === 1 ? features : graph.add('Concat', parts, { attributes: [axis(1)] })
}

/** For each feature the number of cuts that its value is above, which is the row of the table; the last row is for NaN. */
function membershipsOf(
  graph: Nodes,
  from: string,
  sums: Ensemble['sums'],
  { features, cuts, cutCount, table, setCount }: Memberships,
): string {
  const chosen = graph.add('Gather', [from, graph.longs(features)], { attributes: [axis(1)] })
  const each = graph.add('Unsqueeze', [chosen, graph.longs([2])])
  const above = graph.add('Greater', [each, graph.constant(sums, [...cuts], [features.length, cutCount])])
  const count = graph.add('ReduceSum', [graph.cast(above, INT32), graph.longs([2])], { attributes: [integer('keepdims', 0)] })
  const interval = graph.add('Where', [graph.add('IsNaN', [chosen]), graph.constant('INT32', [cutCount + 1]), count])
  const first = features.map((_, index) => index * (cutCount + 2))
  const rows = graph.add('Add', [interval, graph.constant('INT32', first)])
  const known = graph.add('Gather', [graph.constant(sums, [...table], [features.length * (cutCount + 2), setCount]), rows])
  return graph.add('Reshape', [known, graph.longs([-1, features.length * setCount])])
}

/** The sums of the leaves, in double precision, as [rows, sums]. */
function sumsOf(graph: Nodes, forest: Forest, { base, sums, scale, columns }: Ensemble & { readonly columns: string }): string {
  const options = { domain: 'ai.onnx.ml' }
  let raw: string
  if (!forest.shared) raw = graph.add('TreeEnsemble', [columns], { ...options, attributes: treeEnsemble(forest, sums, base.length) })
  else if (sums === 'FP32')
    raw = graph.add('TreeEnsembleRegressor', [columns], { ...options, attributes: treeEnsembleRegressor(forest, sums, base.length) })
  else {
    const both = graph.add('TreeEnsembleRegressor', [columns], {
      ...options,
      attributes: treeEnsembleRegressor(inTwoParts(forest, base.length), sums, 2 * base.length),
    })
    const parts = [0, 1].map((part) =>
      graph.add('Gather', [both, graph.longs(base.map((_, index) => 2 * index + part))], { attributes: [axis(1)] }),
    )
    raw = graph.add(
      'Add',
      parts.map((part) => graph.cast(part, DOUBLE)),
    )
  }
  if (sums === 'FP32') raw = graph.cast(raw, DOUBLE)
  if (scale !== 1) raw = graph.add('Mul', [raw, graph.doubles([scale])])
  return raw
}

/**
 * TreeEnsembleRegressor gives floats whatever it adds up. So that nothing is lost, each leaf is two: a multiple of a step so large
 * that all sums of multiples are floats, and the small rest.
 */
function inTwoParts(forest: Forest, sums: number): Forest {
  const reach = new Float64Array(sums)
  const largest = new Map<string, number>()
  for (const [leaf, value] of forest.leafValue.entries()) {
    const key = `${forest.leafTree[leaf]} ${forest.leafTarget[leaf]}`
    largest.set(key, Math.max(largest.get(key) ?? 0, Math.abs(value)))
  }
  for (const [key, value] of largest) reach[Number(key.split(' ')[1])]! += value
  const steps = reach.map((value) => (value > 0 && Number.isFinite(value) ? 2 ** (Math.ceil(Math.log2(value)) - 23) : 0))
  const count = forest.leafValue.length
  const two = { leafNode: new Int32Array(2 * count), leafTree: new Int32Array(2 * count), leafTarget: new Int32Array(2 * count) }
  const leafValue = new Float64Array(2 * count)
  for (const [leaf, value] of forest.leafValue.entries()) {
    const target = forest.leafTarget[leaf]!
    const step = steps[target]!
    const coarse = step > 0 ? Math.round(value / step) * step : value
    for (const [part, share] of [coarse, step > 0 ? value - coarse : 0].entries()) {
      two.leafNode[2 * leaf + part] = forest.leafNode[leaf]!
      two.leafTree[2 * leaf + part] = forest.leafTree[leaf]!
      two.leafTarget[2 * leaf + part] = 2 * target + part
      leafValue[2 * leaf + part] = share
    }
  }
  return { ...forest, ...two, leafValue }
}

/** What the answer is made of the sums. */
function linked(graph: Nodes, raw: string, { link, classes, base }: Ensemble): string {
  switch (link.kind) {
    case 'identity':
      return raw
    case 'exp':
      return graph.add('Exp', [raw])
    case 'softmax':
      return graph.add('Softmax', [raw], { attributes: [axis(-1)] })
    case 'softplus':
      return graph.add('Add', [
        graph.add('Max', [raw, graph.doubles([0])]),
        logOfOneAnd(graph, graph.add('Exp', [graph.add('Neg', [graph.add('Abs', [raw])])])),
      ])
    case 'signedSquare':
      return graph.add('Mul', [raw, graph.add('Abs', [raw])])
    case 'step':
      return graph.add('Greater', [raw, graph.doubles([0])])
    case 'sigmoid': {
      const one = graph.doubles([1])
      const power = graph.add('Exp', [graph.add('Mul', [raw, graph.doubles([-link.scale])])])
      const positive = graph.add('Div', [one, graph.add('Add', [power, one])])
      if (classes === undefined || base.length > 1) return positive
      return graph.add('Concat', [graph.add('Sub', [one, positive]), positive], { attributes: [axis(1)] })
    }
  }
}

/** log(1 + x) for x from 0 to 1. What 1 + x rounds away is put back by a factor (Kahan; HP-15C Advanced Functions Handbook, appendix). */
function logOfOneAnd(graph: Nodes, x: string): string {
  const one = graph.doubles([1])
  const sum = graph.add('Add', [x, one])
  const kept = graph.add('Sub', [sum, one])
  const scaled = graph.add('Div', [graph.add('Mul', [x, graph.add('Log', [sum])]), kept])
  return graph.add('Where', [graph.add('Equal', [kept, graph.doubles([0])]), x, scaled])
}

/** Attributes of ai.onnx.ml TreeEnsemble 5: splits and leaves in lists of their own. */
function treeEnsemble(forest: Forest, datatype: 'FP32' | 'FP64', targets: number): AttributeProto[] {
  const { feature, threshold, whenTrue, whenFalse, missingTrue, roots, leafOf } = forest
  // Lists of splits alone, with their new numbers.
  const numbers = new Int32Array(feature.length).fill(-1)
  const splits: number[] = []
  for (const node of feature.keys())
    if (leafOf[node]! < 0) {
      numbers[node] = splits.length
      splits.push(node)
    }
  // A tree that is one leaf is a split both of whose children are that leaf.
  const lone = new Map<number, number>()
  for (const root of roots)
    if (leafOf[root]! >= 0) {
      lone.set(root, splits.length)
      splits.push(root)
    }
  const child = (node: number, of: Int32Array): number => (leafOf[node]! >= 0 ? node : of[node]!)
  const idOf = (node: number): number => (leafOf[node]! >= 0 ? leafOf[node]! : numbers[node]!)
  const isLeaf = (node: number): number => Number(leafOf[node]! >= 0)
  return [
    attribute('n_targets', { type: AttributeProto_AttributeType.INT, i: BigInt(targets) }),
    attribute('aggregate_function', { type: AttributeProto_AttributeType.INT, i: 1n }),
    attribute('post_transform', { type: AttributeProto_AttributeType.INT, i: 0n }),
    integers(
      'tree_roots',
      [...roots].map((root) => lone.get(root) ?? numbers[root]!),
    ),
    integers(
      'nodes_featureids',
      splits.map((node) => Math.max(0, feature[node]!)),
    ),
    integers(
      'nodes_truenodeids',
      splits.map((node) => idOf(child(node, whenTrue))),
    ),
    integers(
      'nodes_falsenodeids',
      splits.map((node) => idOf(child(node, whenFalse))),
    ),
    integers(
      'nodes_trueleafs',
      splits.map((node) => isLeaf(child(node, whenTrue))),
    ),
    integers(
      'nodes_falseleafs',
      splits.map((node) => isLeaf(child(node, whenFalse))),
    ),
    integers(
      'nodes_missing_value_tracks_true',
      splits.map((node) => missingTrue[node]!),
    ),
    tensors(
      'nodes_modes',
      create(TensorProtoSchema, { dims: [BigInt(splits.length)], dataType: UINT8, rawData: new Uint8Array(splits.length) }),
    ),
    tensors(
      'nodes_splits',
      tensor(
        datatype,
        Float64Array.from(splits, (node) => threshold[node]!),
      ),
    ),
    integers('leaf_targetids', [...forest.leafTarget]),
    tensors('leaf_weights', tensor(datatype, forest.leafValue)),
  ]
}

const LEAF = Buffer.from('LEAF')
const AT_MOST = Buffer.from('BRANCH_LEQ')

/** Attributes of ai.onnx.ml TreeEnsembleRegressor 3, in which several splits may lead to one node. */
function treeEnsembleRegressor(forest: Forest, datatype: 'FP32' | 'FP64', targets: number): AttributeProto[] {
  const { feature, threshold, whenTrue, whenFalse, missingTrue, leafOf, tree, roots } = forest
  const first = (node: number): number => roots[tree[node]!]!
  const own = (node: number, of: number): number => (leafOf[node]! >= 0 ? 0 : of - first(node))
  const nodes = [...feature.keys()]
  const doubles = datatype === 'FP64'
  return [
    attribute('n_targets', { type: AttributeProto_AttributeType.INT, i: BigInt(targets) }),
    integers('nodes_treeids', [...tree]),
    integers(
      'nodes_nodeids',
      nodes.map((node) => node - first(node)),
    ),
    integers(
      'nodes_featureids',
      nodes.map((node) => Math.max(0, feature[node]!)),
    ),
    attribute('nodes_modes', {
      type: AttributeProto_AttributeType.STRINGS,
      strings: nodes.map((node) => (leafOf[node]! >= 0 ? LEAF : AT_MOST)),
    }),
    doubles
      ? tensors('nodes_values_as_tensor', tensor(datatype, threshold))
      : attribute('nodes_values', { type: AttributeProto_AttributeType.FLOATS, floats: [...threshold] }),
    integers(
      'nodes_truenodeids',
      nodes.map((node) => own(node, whenTrue[node]!)),
    ),
    integers(
      'nodes_falsenodeids',
      nodes.map((node) => own(node, whenFalse[node]!)),
    ),
    integers('nodes_missing_value_tracks_true', [...missingTrue]),
    integers('target_treeids', [...forest.leafTree]),
    integers(
      'target_nodeids',
      [...forest.leafNode].map((node) => node - first(node)),
    ),
    integers('target_ids', [...forest.leafTarget]),
    doubles
      ? tensors('target_weights_as_tensor', tensor(datatype, forest.leafValue))
      : attribute('target_weights', { type: AttributeProto_AttributeType.FLOATS, floats: [...forest.leafValue] }),
  ]
}

function attribute(name: string, value: Partial<AttributeProto>): AttributeProto {
  return create(AttributeProtoSchema, { name, ...value } as Parameters<typeof create<typeof AttributeProtoSchema>>[1])
}

function axis(value: number): AttributeProto {
  return integer('axis', value)
}

function integer(name: string, value: number): AttributeProto {
  return attribute(name, { type: AttributeProto_AttributeType.INT, i: BigInt(value) })
}

function integers(name: string, values: readonly number[]): AttributeProto {
  return attribute(name, { type: AttributeProto_AttributeType.INTS, ints: values.map(BigInt) })
}

function tensors(name: string, t: TensorProto): AttributeProto {
  return attribute(name, { type: AttributeProto_AttributeType.TENSOR, t })
}

function tensor(
  datatype: 'FP32' | 'FP64' | 'INT32',
  values: Float64Array,
  { name = '', dims = [values.length] }: { readonly name?: string; readonly dims?: readonly number[] } = {},
): TensorProto {
  const data = datatype === 'FP64' ? values : datatype === 'INT32' ? Int32Array.from(values) : Float32Array.from(values)
  return create(TensorProtoSchema, {
    name,
    dims: dims.map(BigInt),
    dataType: TYPES[datatype],
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  })
}

function valueInfo(name: string, elemType: TensorProto_DataType, columns: number): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, {
      value: {
        case: 'tensorType',
        value: {
          elemType,
          shape: { dim: [{ value: { case: 'dimParam', value: 'rows' } }, { value: { case: 'dimValue', value: BigInt(columns) } }] },
        },
      },
    }),
  })
}
