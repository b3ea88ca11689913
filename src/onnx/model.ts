/** Onnx reads ONNX files, checks them, and rewrites what the runtime would be slow or wrong at. */
import { readFile, stat } from 'node:fs/promises'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { ModelProtoSchema } from './generated/onnx_pb.js'
import type { FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.js'

export type { GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.js'

/** Size limit of protobuf messages; larger models keep their weights in external data. */
const PROTOBUF_BYTES_MAX = 2 ** 31 - 1

/**
 * Reads an ONNX file (format: onnx-ml.proto of the ONNX project, IR version 3 and up).
 * @throws SLW_MODEL_INVALID when the file is not an ONNX model
 */
export async function readOnnx(path: string): Promise<ModelProto> {
  const { size } = await stat(path)
  if (size > PROTOBUF_BYTES_MAX) {
    throw new SlipwayError(
      'SLW_MODEL_UNSAFE',
      `${path}: ${formatBytes(size)} is more than a protobuf message can hold (2 GiB); weights belong in external data`,
    )
  }
  return parseOnnx(await readFile(path), path)
}

/** @param source name of the bytes, for messages */
export function parseOnnx(bytes: Uint8Array, source: string): ModelProto {
  if (bytes.length === 0) throw new SlipwayError('SLW_MODEL_INVALID', `${source}: the file is empty`)
  let model: ModelProto
  try {
    model = fromBinary(ModelProtoSchema, bytes, { readUnknownFields: true })
  } catch (error) {
    throw new SlipwayError('SLW_MODEL_INVALID', `${source}: not an ONNX model${lookAlike(bytes)} (${messageOf(error)})`)
  }
  if (model.graph === undefined || model.opsetImport.length === 0) {
    throw new SlipwayError(
      'SLW_MODEL_INVALID',
      `${source}: not an ONNX model${lookAlike(bytes)}: it has no ${model.graph === undefined ? 'graph' : 'opset'}`,
    )
  }
  return model
}

/** Note on another format that the bytes look like, or an empty text. */
function lookAlike(bytes: Uint8Array): string {
  const start = Buffer.from(bytes.subarray(0, 64)).toString('latin1')
  if (start.startsWith('PK')) return ', it looks like a zip archive (PyTorch, Keras)'
  if (start.startsWith('\u0080')) return ', it looks like a Python pickle'
  if (start.startsWith('version https://git-lfs')) return ', it is a Git LFS pointer: run `git lfs pull`'
  if (start.startsWith('\u0089HDF')) return ', it looks like HDF5 (Keras)'
  if (/^\s*[{[<]/.test(start)) return ', it looks like text'
  return ''
}

/** Serialises a model to the bytes of its file. */
export function writeOnnx(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model)
}

export function graphOf(model: ModelProto): GraphProto {
  if (model.graph === undefined) throw new SlipwayError('SLW_INTERNAL', 'a model without a graph was let through')
  return model.graph
}

/** Name of an operator, by which a node finds the function of the model that it is (onnx.proto: FunctionProto). */
export function functionName(domain: string, opType: string, overload: string): string {
  return `${domain === 'ai.onnx' ? '' : domain}:${opType}:${overload}`
}

export function functionsByName(functions: readonly FunctionProto[]): Map<string, FunctionProto> {
  return new Map(functions.map((fn) => [functionName(fn.domain, fn.name, fn.overload), fn]))
}

/** Every graph of the model: the main one and those inside nodes (If, Loop, Scan), outermost first. */
export function* graphs(graph: GraphProto): Generator<GraphProto> {
  yield graph
  for (const node of graph.node) yield* graphsOfNode(node)
}

function* graphsOfNode(node: NodeProto): Generator<GraphProto> {
  for (const attribute of node.attribute) {
    if (attribute.g !== undefined) yield* graphs(attribute.g)
    for (const inner of attribute.graphs) yield* graphs(inner)
  }
}

/** Every tensor that the file carries: initialisers, sparse ones, and constants in attributes, also of functions. */
export function* tensors(model: ModelProto): Generator<TensorProto> {
  for (const graph of graphs(graphOf(model))) {
    yield* graph.initializer
    for (const sparse of graph.sparseInitializer) {
      if (sparse.values !== undefined) yield sparse.values
      if (sparse.indices !== undefined) yield sparse.indices
    }
    for (const node of graph.node) yield* tensorsOfNode(node)
  }
  for (const fn of model.functions) {
    for (const node of fn.node) {
      yield* tensorsOfNode(node)
      for (const graph of graphsOfNode(node)) {
        yield* graph.initializer
        for (const inner of graph.node) yield* tensorsOfNode(inner)
      }
    }
  }
}

function* tensorsOfNode(node: NodeProto): Generator<TensorProto> {
  for (const attribute of node.attribute) {
    if (attribute.t !== undefined) yield attribute.t
    yield* attribute.tensors
  }
}
