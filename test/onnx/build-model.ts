import { create } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType,
  ModelProtoSchema,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from '../../src/onnx/generated/onnx_pb.js'
import { writeOnnx } from '../../src/onnx/model.ts'
import { DATATYPES } from '../../src/tensor/datatype.ts'
import { encodeBinary } from '../../src/tensor/binary.ts'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { AttributeProtoSchema, NodeProtoSchema, TensorProto, ValueInfoProto } from '../../src/onnx/generated/onnx_pb.js'
import type { Datatype, TensorData } from '../../src/tensor/datatype.ts'
import type { Instance, InstanceSpec } from '../../src/engine/instance.ts'
import type { OnnxModel } from '../../src/onnx/inspect.ts'

export type NodeInit = MessageInitShape<typeof NodeProtoSchema>
type AttributeInit = MessageInitShape<typeof AttributeProtoSchema>

/** A number is a FLOAT, a bigint an INT; lists likewise. */
export type AttributeValue = number | bigint | string | readonly number[] | readonly bigint[] | readonly string[] | TensorProto

/** An input or output. A dimension is a size, a name, or -1; without a shape the rank is unknown. */
export function value(name: string, datatype: Datatype | number, shape?: readonly (number | string)[]): ValueInfoProto {
  const dim = shape?.map((size) => ({
    value:
      size === -1
        ? { case: undefined }
        : typeof size === 'string'
          ? { case: 'dimParam' as const, value: size }
          : { case: 'dimValue' as const, value: BigInt(size) },
  }))
  const elemType = typeof datatype === 'number' ? datatype : DATATYPES[datatype].onnx
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType, ...(dim !== undefined && { shape: { dim } }) } } },
  })
}

/** An initialiser with its values as raw data, or as text. */
export function weights(name: string, datatype: Datatype, shape: readonly number[], data: TensorData): TensorProto {
  const base = { name, dataType: DATATYPES[datatype].onnx, dims: shape.map(BigInt) }
  if (Array.isArray(data)) return create(TensorProtoSchema, { ...base, stringData: data.map((text) => new TextEncoder().encode(text)) })
  return create(TensorProtoSchema, { ...base, rawData: new Uint8Array(encodeBinary({ name, datatype, shape, data })) })
}

export function floats(name: string, shape: readonly number[], ...values: number[]): TensorProto {
  return weights(name, 'FP32', shape, Float32Array.from(values))
}

/** A tensor whose values are in a file beside the model. */
export function external(name: string, shape: readonly number[], entries: Readonly<Record<string, string | number>>): TensorProto {
  const externalData = Object.entries(entries).map(([key, entry]) => ({ key, value: String(entry) }))
  return create(TensorProtoSchema, { name, dataType: DATATYPES.FP32.onnx, dims: shape.map(BigInt), dataLocation: 1, externalData })
}

export function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Readonly<Record<string, AttributeValue>> = {},
): NodeInit {
  return {
    opType,
    input: [...input],
    output: [...output],
    attribute: Object.entries(attributes).map(([name, given]) => attribute(name, given)),
  }
}

function attribute(name: string, given: AttributeValue): AttributeInit {
  const type = AttributeProto_AttributeType
  if (typeof given === 'number') return { name, type: type.FLOAT, f: given }
  if (typeof given === 'bigint') return { name, type: type.INT, i: given }
  if (typeof given === 'string') return { name, type: type.STRING, s: new TextEncoder().encode(given) }
  if ('$typeName' in given) return { name, type: type.TENSOR, t: given }
  if (given.every((element) => typeof element === 'bigint')) return { name, type: type.INTS, ints: [...given] }
  if (given.every((element) => typeof element === 'number')) return { name, type: type.FLOATS, floats: [...given] }
  return { name, type: type.STRINGS, strings: given.map((element) => new TextEncoder().encode(element)) }
}

export interface ModelInit {
  readonly input: ValueInfoProto[]
  readonly output: ValueInfoProto[]
  readonly node: NodeInit[]
  readonly initializer?: TensorProto[]
  readonly opset?: number
  readonly irVersion?: number
  readonly metadata?: Readonly<Record<string, string>>
}

/** The bytes of an ONNX file. */
export function buildModel({ irVersion = 8, metadata = {}, opset = 17, ...graph }: ModelInit): Uint8Array {
  return writeOnnx(
    create(ModelProtoSchema, {
      irVersion: BigInt(irVersion),
      producerName: 'slipway-test',
      producerVersion: '1',
      opsetImport: [
        { domain: '', version: BigInt(opset) },
        { domain: 'ai.onnx.ml', version: 3n },
      ],
      metadataProps: Object.entries(metadata).map(([key, text]) => ({ key, value: text })),
      graph: { name: 'g', ...graph },
    }),
  )
}

/** y = x, of any datatype and shape. */
export function identityModel(datatype: Datatype, shape?: readonly (number | string)[]): Uint8Array {
  return buildModel({ input: [value('x', datatype, shape)], output: [value('y', datatype, shape)], node: [node('Identity', ['x'], ['y'])] })
}

/** Rows of two columns to one: y = x W + b, with W = [1, 10] and b = 0.5. */
export function linearModel(more: Partial<ModelInit> = {}): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', ['batch', 2])],
    output: [value('y', 'FP32', ['batch', 1])],
    node: [node('MatMul', ['x', 'w'], ['xw']), node('Add', ['xw', 'b'], ['y'])],
    initializer: [floats('w', [2, 1], 1, 10), floats('b', [1], 0.5)],
    ...more,
  })
}

/** What an instance needs to load the model, as the server would say it. */
export function instanceSpec(model: OnnxModel): InstanceSpec {
  return {
    name: 'm/v1#0',
    source: {
      ...(model.rewrittenBytes === undefined ? { path: model.path } : { bytes: model.rewrittenBytes }),
      external: model.externalFiles,
    },
    inputs: model.inputs,
    outputs: model.outputs,
    threads: 1,
  }
}

/** `await using` for an instance. */
export function closing<T extends Instance>(instance: T): T & AsyncDisposable {
  return Object.assign(instance, { [Symbol.asyncDispose]: () => instance.close() })
}
