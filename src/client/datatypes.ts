/** The datatypes of the Open Inference Protocol, and the arrays that hold them. */

/** FP16 and BF16 are their 16 bits ({@link toFp16}, {@link fromFp16}); BOOL is 0 and 1; BYTES is text. */
export interface DataOf {
  readonly BOOL: Uint8Array
  readonly UINT8: Uint8Array
  readonly UINT16: Uint16Array
  readonly UINT32: Uint32Array
  readonly UINT64: BigUint64Array
  readonly INT8: Int8Array
  readonly INT16: Int16Array
  readonly INT32: Int32Array
  readonly INT64: BigInt64Array
  readonly FP16: Uint16Array
  readonly BF16: Uint16Array
  readonly FP32: Float32Array
  readonly FP64: Float64Array
  readonly BYTES: readonly string[]
}

export type Datatype = keyof DataOf

type ArrayConstructor = new (buffer: ArrayBuffer, byteOffset?: number, length?: number) => Exclude<DataOf[Datatype], readonly string[]>

/** Undefined for BYTES, whose elements vary in length. */
export const ARRAYS: Readonly<Record<Datatype, (ArrayConstructor & { readonly BYTES_PER_ELEMENT: number }) | undefined>> = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  BYTES: undefined,
}

/** Values in row-major order; `shape` multiplied is their number. */
export type Tensor<D extends Datatype = Datatype> = D extends Datatype
  ? { readonly name: string; readonly datatype: D; readonly shape: readonly number[]; readonly data: DataOf[D] }
  : never

const view = new DataView(new ArrayBuffer(8))

/** Numbers as bits of IEEE 754 binary16: rounded to nearest, ties to even. */
export function toFp16(values: Iterable<number>): Uint16Array {
  return Uint16Array.from(values, (value) => halfBits(value))
}

function halfBits(value: number): number {
  view.setFloat64(0, value)
  const sign = (view.getUint16(0) & 0x8000) >>> 0
  const size = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  // Half of the way to what would come after the largest.
  if (size >= 65_520) return sign | 0x7c00
  // The smallest exponent is that of the subnormal numbers, too.
  const exponent = Math.max(-14, Math.floor(Math.log2(size)))
  const steps = roundEven(size / 2 ** (exponent - 10))
  // A step too many carries into the exponent, which is what it should do.
  return sign | ((exponent + 14) * 1024 + steps)
}

function roundEven(value: number): number {
  const below = Math.floor(value)
  const rest = value - below
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
}

export function fromFp16(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (half) => {
    const sign = half & 0x8000 ? -1 : 1
    const exponent = (half >>> 10) & 0x1f
    const steps = half & 0x3ff
    if (exponent === 0x1f) return steps === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    return sign * (exponent === 0 ? steps * 2 ** -24 : (1024 + steps) * 2 ** (exponent - 25))
  })
}

/** Numbers as bits of bfloat16, the upper half of a float32: rounded to nearest, ties to even. */
export function toBf16(values: Iterable<number>): Uint16Array {
  return Uint16Array.from(values, (value) => {
    if (Number.isNaN(value)) return 0x7fc0
    view.setFloat32(0, value)
    let bits = view.getUint32(0)
    // A float32 just between two of them: what was lost on the way to it decides.
    const lost = Math.abs(value) - Math.abs(view.getFloat32(0))
    if ((bits & 0xffff) === 0x8000 && lost !== 0) bits += lost > 0 ? 1 : -1
    return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
  })
}

export function fromBf16(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (half) => {
    view.setUint32(0, half << 16)
    return view.getFloat32(0)
  })
}
