import { isFloat } from './datatype.ts'
import { allocate, elementCount, setNumber } from './tensor.ts'
import type { Tensor, TensorSpec } from './tensor.ts'

/** What the generator of sample values may know of an input. */
export interface SampleRange {
  readonly minimum?: number | undefined
  readonly maximum?: number | undefined
}

/** Free dimensions other than rows get this size in generated inputs. */
const FREE_DIMENSION = 2

/**
 * Inputs that most models accept: small integers, within the range where one is known, different from row to row.
 * The same name in two inputs is the same size.
 */
export function generateSample(specs: readonly TensorSpec[], rows: number, ranges: ReadonlyMap<string, SampleRange> = new Map()): Tensor[] {
  let state = 12_345
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state / 0x7fffffff
  }
  return specs.map((spec) => {
    const shape = spec.anyRank === true ? [rows] : spec.shape.map((dim, index) => (dim !== -1 ? dim : index === 0 ? rows : FREE_DIMENSION))
    const range = ranges.get(spec.name)
    const low = range?.minimum ?? 0
    const high = Math.max(low, range?.maximum ?? low + 3)
    const count = elementCount(shape)
    const values = Array.from({ length: count }, () => {
      const value = low + next() * (high - low)
      return high - low >= 1 ? Math.min(high, Math.round(value)) : value
    })
    return sampleTensor(spec, shape, values)
  })
}

function sampleTensor(spec: TensorSpec, shape: number[], values: number[]): Tensor {
  const base = { name: spec.name, datatype: spec.datatype, shape }
  switch (spec.datatype) {
    case 'BYTES':
      return { ...base, data: values.map(String) }
    case 'BOOL':
      return { ...base, data: Uint8Array.from(values, (value) => value & 1) }
    default: {
      return numericTensor(base, values)
    }
  }
}

function numericTensor(base: Omit<Tensor, 'data'>, values: readonly number[]): Tensor {
  const data = allocate(base.datatype, values.length)
  for (const [index, value] of values.entries()) setNumber(data, base.datatype, index, isFloat(base.datatype) ? value : Math.round(value))
  return { ...base, data }
}
