import { elementCount, toNumbers } from './tensor.ts'
import type { Tensor } from './tensor.ts'

/** The elements of a tensor, each as JSON. NaN and the infinities are bare words, as Python writes and reads them. */
export function elementTexts({ data, ...tensor }: Tensor): string[] {
  if (Array.isArray(data)) return data.map((text) => JSON.stringify(text))
  switch (tensor.datatype) {
    case 'BOOL':
      return Array.from(data as Uint8Array, (bit) => (bit === 0 ? 'false' : 'true'))
    case 'FP16':
    case 'BF16':
    case 'FP32':
    case 'FP64':
      return Array.from(toNumbers({ ...tensor, data }), numberText)
    default:
      return Array.from(data as ArrayLike<number | bigint>, String)
  }
}

function numberText(value: number): string {
  return Object.is(value, -0) ? '-0.0' : String(value)
}

/** Texts of elements in row-major order, as nested lists of a shape; that of a scalar alone. */
export function nestTexts(texts: readonly string[], shape: readonly number[], start = 0): string {
  const [length, ...rest] = shape
  if (length === undefined) return texts[start] ?? 'null'
  const step = elementCount(rest)
  return `[${Array.from({ length }, (_, index) => nestTexts(texts, rest, start + index * step)).join(', ')}]`
}

/** A tensor as nested lists, as `tolist()` of NumPy gives them. */
export function nestedJson(tensor: Tensor): string {
  return nestTexts(elementTexts(tensor), tensor.shape)
}
