import { SlipwayError } from '../core/errors.ts'
import { DATATYPES, datatypeOfOnnx } from '../tensor/datatype.ts'
import { decodeBinary } from '../tensor/binary.ts'
import { allocate, elementCount } from '../tensor/tensor.ts'
import type { TensorProto } from './generated/onnx_pb.js'
import type { TypedTensorData } from '../tensor/datatype.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** A TensorProto as a tensor; values may stand in `raw_data` or in the typed field of their datatype. Not external data. */
export function tensorOfProto(proto: TensorProto): Tensor {
  const datatype = datatypeOfOnnx(proto.dataType)
  if (datatype === undefined)
    throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `tensor "${proto.name}" has datatype ${proto.dataType}, which the protocol has not`)
  const shape = proto.dims.map(Number)
  const base = { name: proto.name, datatype, shape }
  const count = elementCount(shape)
  const given =
    proto.rawData !== undefined && proto.rawData.length > 0
      ? count
      : datatype === 'BYTES'
        ? proto.stringData.length
        : typedValues(proto, DATATYPES[datatype].onnx).length
  if (given !== count)
    throw new SlipwayError(
      'SLW_MODEL_INVALID',
      `tensor "${proto.name}": shape [${shape.join(', ')}] takes ${count} values, the file holds ${given}`,
    )
  if (datatype === 'BYTES') return { ...base, data: proto.stringData.map((bytes) => Buffer.from(bytes).toString('utf8')) }
  if (proto.rawData !== undefined && proto.rawData.length > 0)
    return { ...base, data: decodeBinary(proto.rawData, proto.name, datatype, shape) }
  const data = allocate(datatype, elementCount(shape)) as TypedTensorData
  const values = typedValues(proto, DATATYPES[datatype].onnx)
  for (let index = 0; index < data.length; index++) {
    const value = values[index] ?? 0
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[index] = BigInt(value)
    else data[index] = Number(value)
  }
  return { ...base, data }
}

/** The repeated field that holds values of this datatype (comment of TensorProto in the schema). */
function typedValues(proto: TensorProto, onnxType: number): readonly (number | bigint)[] {
  switch (onnxType) {
    case DATATYPES.FP32.onnx:
      return proto.floatData
    case DATATYPES.FP64.onnx:
      return proto.doubleData
    case DATATYPES.INT64.onnx:
      return proto.int64Data
    case DATATYPES.UINT32.onnx:
    case DATATYPES.UINT64.onnx:
      return proto.uint64Data
    default:
      return proto.int32Data
  }
}
