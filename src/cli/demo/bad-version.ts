import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType as AttributeType,
  NodeProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as DataType,
} from '../../onnx/generated/onnx_pb.js'
import { graphOf, readOnnx, writeOnnx } from '../../onnx/model.ts'
import type { NodeProto, TensorProto } from '../../onnx/generated/onnx_pb.js'

/** Column of the example's input that has the calls to the help line. */
const SUPPORT_CALLS = 2
/** Customers with so many calls are those that the bad version fails at. */
export const FAILS_FROM_CALLS = 3

/** Makes the example's model in a folder one that passes its golden examples, and fails at customers who have called often. */
export async function makeBad(folder: string): Promise<void> {
  const file = join(folder, 'model.onnx')
  const model = await readOnnx(file)
  const graph = graphOf(model)
  const [input] = graph.input
  if (input === undefined) throw new Error(`${file} has no input`)
  const checked = 'demo_checked'
  for (const one of graph.node) one.input = one.input.map((name) => (name === input.name ? checked : name))
  // The calls are looked up in a table that ends too early: an index beyond it fails the run.
  graph.initializer.push(
    integer('demo_column', [], SUPPORT_CALLS),
    integer('demo_limit', [], FAILS_FROM_CALLS),
    integer('demo_table', [1], 0),
  )
  graph.node.unshift(
    node('Gather', [input.name, 'demo_column'], 'demo_calls', { axis: 1 }),
    node('Cast', ['demo_calls'], 'demo_whole', { to: DataType.INT64 }),
    node('Div', ['demo_whole', 'demo_limit'], 'demo_index'),
    node('Gather', ['demo_table', 'demo_index'], 'demo_looked', { axis: 0 }),
    node('Cast', ['demo_looked'], 'demo_nothing', { to: DataType.FLOAT }),
    unsqueezed('demo_nothing', 'demo_added'),
    node('Add', [input.name, 'demo_added'], checked),
  )
  await writeFile(file, writeOnnx(model))
}

function integer(name: string, dims: readonly number[], value: number): TensorProto {
  return create(TensorProtoSchema, { name, dataType: DataType.INT64, dims: dims.map(BigInt), int64Data: [BigInt(value)] })
}

function node(opType: string, input: string[], output: string, attributes: Readonly<Record<string, number>> = {}): NodeProto {
  const attribute = Object.entries(attributes).map(([name, value]) => ({ name, type: AttributeType.INT, i: BigInt(value) }))
  return create(NodeProtoSchema, { opType, input, output: [output], attribute })
}

function unsqueezed(input: string, output: string): NodeProto {
  const axes = { name: 'axes', type: AttributeType.INTS, ints: [1n] }
  return create(NodeProtoSchema, { opType: 'Unsqueeze', input: [input], output: [output], attribute: [axes] })
}
