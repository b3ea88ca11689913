import { datatypeOfOnnx } from '../tensor/datatype.ts'
import { TensorProto_DataType } from './generated/onnx_pb.js'
import type { ValueInfoProto } from './generated/onnx_pb.js'
import type { TensorSpec } from '../tensor/tensor.ts'

/** Type of a graph input or output: a tensor that can be served, or the name of an unsupported type, for the refusal. */
export type ValueType = { readonly spec: TensorSpec } | { readonly unsupported: string }

/** @returns the type; `anyRank` marks an unknown rank */
export function valueType(value: ValueInfoProto): ValueType {
  const type = value.type?.value
  if (type?.case === 'tensorType') {
    const datatype = datatypeOfOnnx(type.value.elemType)
    if (datatype === undefined)
      return { unsupported: `a tensor of ${TensorProto_DataType[type.value.elemType] ?? `type ${type.value.elemType}`}` }
    const dims = type.value.shape?.dim
    const shape: number[] = []
    const dimensionNames: (string | undefined)[] = []
    for (const dim of dims ?? []) {
      const known = dim.value.case === 'dimValue' && dim.value.value >= 0n
      shape.push(known ? Number(dim.value.value) : -1)
      dimensionNames.push(dim.value.case === 'dimParam' && dim.value.value !== '' ? dim.value.value : undefined)
    }
    return { spec: { name: value.name, datatype, shape, dimensionNames, ...(dims === undefined && { anyRank: true }) } }
  }
  switch (type?.case) {
    case 'sequenceType':
      return { unsupported: type.value.elemType?.value.case === 'mapType' ? 'a sequence of maps' : 'a sequence' }
    case 'mapType':
      return { unsupported: 'a map' }
    case 'optionalType':
      return { unsupported: 'an optional value' }
    case 'sparseTensorType':
      return { unsupported: 'a sparse tensor' }
    default:
      return { unsupported: 'of no known type' }
  }
}
