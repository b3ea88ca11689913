/** 16-bit floats as bits: IEEE 754 binary16 (FP16) and bfloat16 (BF16, the upper half of a float32). */

const view = new DataView(new ArrayBuffer(4))

export function halfToNumber(bits: number): number {
  view.setUint16(0, bits)
  return view.getFloat16(0)
}

export function numberToHalf(value: number): number {
  view.setFloat16(0, value)
  return view.getUint16(0)
}

export function bfloatToNumber(bits: number): number {
  view.setUint32(0, bits << 16)
  return view.getFloat32(0)
}

/** Rounds to nearest, ties to even; NaN stays NaN. */
export function numberToBfloat(value: number): number {
  view.setFloat32(0, value)
  let bits = view.getUint32(0)
  if (Number.isNaN(value)) return 0x7fc0
  // The float32 lies exactly between two bfloat16 values: the digits lost in rounding to float32 decide.
  if ((bits & 0xffff) === 0x8000) {
    const lost = Math.abs(value) - Math.abs(view.getFloat32(0))
    if (lost !== 0) bits += lost > 0 ? 1 : -1
  }
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}
