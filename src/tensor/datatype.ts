/** Typed storage of a tensor. FP16 and BF16 are kept as their 16 bits; BOOL as 0 and 1; BYTES as text. */
export type TensorData =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | string[]

export type TypedTensorData = Exclude<TensorData, string[]>

interface DatatypeInfo {
  /** Bytes of one element; 0 for BYTES, whose elements vary. */
  readonly bytes: number
  readonly make: (length: number) => TensorData
  /** Number of the type in ONNX (TensorProto.DataType). */
  readonly onnx: number
  /** Name of the type in ONNX Runtime for JavaScript; BF16 has none and crosses as float32. */
  readonly ort: string
  /** Inclusive range of the integer types. */
  readonly range?: readonly [bigint, bigint]
}

/** The datatypes of the Open Inference Protocol. */
export const DATATYPES = {
  BOOL: { bytes: 1, make: (n) => new Uint8Array(n), onnx: 9, ort: 'bool' },
  UINT8: { bytes: 1, make: (n) => new Uint8Array(n), onnx: 2, ort: 'uint8', range: [0n, 255n] },
  UINT16: { bytes: 2, make: (n) => new Uint16Array(n), onnx: 4, ort: 'uint16', range: [0n, 65_535n] },
  UINT32: { bytes: 4, make: (n) => new Uint32Array(n), onnx: 12, ort: 'uint32', range: [0n, 4_294_967_295n] },
  UINT64: { bytes: 8, make: (n) => new BigUint64Array(n), onnx: 13, ort: 'uint64', range: [0n, (1n << 64n) - 1n] },
  INT8: { bytes: 1, make: (n) => new Int8Array(n), onnx: 3, ort: 'int8', range: [-128n, 127n] },
  INT16: { bytes: 2, make: (n) => new Int16Array(n), onnx: 5, ort: 'int16', range: [-32_768n, 32_767n] },
  INT32: { bytes: 4, make: (n) => new Int32Array(n), onnx: 6, ort: 'int32', range: [-2_147_483_648n, 2_147_483_647n] },
  INT64: { bytes: 8, make: (n) => new BigInt64Array(n), onnx: 7, ort: 'int64', range: [-(1n << 63n), (1n << 63n) - 1n] },
  FP16: { bytes: 2, make: (n) => new Uint16Array(n), onnx: 10, ort: 'float16' },
  BF16: { bytes: 2, make: (n) => new Uint16Array(n), onnx: 16, ort: 'float32' },
  FP32: { bytes: 4, make: (n) => new Float32Array(n), onnx: 1, ort: 'float32' },
  FP64: { bytes: 8, make: (n) => new Float64Array(n), onnx: 11, ort: 'float64' },
  BYTES: { bytes: 0, make: (n) => Array.from<string>({ length: n }).fill(''), onnx: 8, ort: 'string' },
} as const satisfies Record<string, DatatypeInfo>

export type Datatype = keyof typeof DATATYPES

export function isDatatype(name: string): name is Datatype {
  return Object.hasOwn(DATATYPES, name)
}

export function datatypeInfo(datatype: Datatype): DatatypeInfo {
  return DATATYPES[datatype]
}

const BY_ONNX = new Map<number, Datatype>(Object.entries(DATATYPES).map(([name, info]) => [info.onnx, name as Datatype]))

/** The datatype of an ONNX TensorProto.DataType, or undefined where the protocol has none (complex, float8, 4-bit, ...). */
export function datatypeOfOnnx(type: number): Datatype | undefined {
  return BY_ONNX.get(type)
}

export function isFloat(datatype: Datatype): boolean {
  return datatype === 'FP32' || datatype === 'FP64' || datatype === 'FP16' || datatype === 'BF16'
}

export function isWide(datatype: Datatype): datatype is 'INT64' | 'UINT64' {
  return datatype === 'INT64' || datatype === 'UINT64'
}
