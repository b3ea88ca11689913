import { bfloatToNumber, halfToNumber } from './half.ts'
import type { Tensor } from './tensor.ts'

/**
 * The data of a tensor as a flat JSON array. NaN and the infinities are written as bare words, as Triton does: the Open
 * Inference Protocol has no other way, and Python reads them.
 */
export function tensorDataToJson(tensor: Tensor): string {
  const { data, datatype } = tensor
  if (Array.isArray(data)) return `[${data.map((text) => JSON.stringify(text)).join(',')}]`
  switch (datatype) {
    case 'BOOL':
      return `[${Array.from(data as Uint8Array, (bit) => (bit === 0 ? 'false' : 'true')).join(',')}]`
    case 'FP16':
      return floatsToJson(Float64Array.from(data as Uint16Array, halfToNumber))
    case 'BF16':
      return floatsToJson(Float64Array.from(data as Uint16Array, bfloatToNumber))
    case 'FP32':
    case 'FP64':
      return floatsToJson(data as Float64Array)
    default:
      return `[${data.join(',')}]`
  }
}

function floatsToJson(data: Float32Array | Float64Array): string {
  if (data.length === 0) return '[]'
  let text = '['
  for (let index = 0; index < data.length; index++) {
    const value = data[index]!
    if (index > 0) text += ','
    text += value === 0 && Object.is(value, -0) ? '-0.0' : value
  }
  return `${text}]`
}

/** Strict JSON for answers: bigint keeps its digits, and numbers that JSON cannot express (NaN, infinities) are null. */
export function toJson(value: unknown): string {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null'
  if (Array.isArray(value)) return `[${value.map(toJson).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const members: string[] = []
    for (const [key, member] of Object.entries(value)) {
      if (member !== undefined) members.push(`${JSON.stringify(key)}:${toJson(member)}`)
    }
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value ?? null)
}
