import { isFloat } from './datatype.ts'
import { allocate, elementCount, setNumber } from './tensor.ts'
import type { Datatype, TensorData } from './datatype.ts'
import type { Tensor, TensorSpec } from './tensor.ts'

/** Known range of the values of an input, for the generator of samples. */
export interface SampleRange {
  readonly minimum?: number | undefined
  readonly maximum?: number | undefined
}

/** Size of free dimensions other than rows in generated inputs. */
const FREE_DIMENSION = 2

/**
 * Generates inputs that most models accept: small integers, within the range where one is known, different from row to row. Rows of floats
 * without a known range are of different magnitudes, so that what couples rows by their values shows. A dimension name that two inputs
 * share has the same size in both.
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
    const [span, whole] = [high - low, high - low >= 1]
    const nextValue = (): number => {
      const value = low + next() * span
      return whole ? Math.min(high, Math.round(value)) : value
    }
    const count = elementCount(shape)
    if (rows < 2 || range !== undefined || !isFloat(spec.datatype) || shape[0] !== rows)
      return { name: spec.name, datatype: spec.datatype, shape, data: fill(spec.datatype, count, nextValue) }
    let index = 0
    const spread = (): number => nextValue() * MAGNITUDES[Math.floor((index++ * rows) / count) % MAGNITUDES.length]!
    return { name: spec.name, datatype: spec.datatype, shape, data: fill(spec.datatype, count, spread) }
  })
}

/** Magnitudes of the rows, again and again. The first is one: a single row is what most models were trained on. */
const MAGNITUDES = [1, 100, 0.01]

/** Plain loops: a picture has 150 000 values, which are made on the thread that serves. */
function fill(datatype: Datatype, count: number, nextValue: () => number): TensorData {
  if (datatype === 'BYTES') return Array.from({ length: count }, () => String(nextValue()))
  const data = allocate(datatype, count)
  if (data instanceof Float32Array || data instanceof Float64Array) for (let index = 0; index < count; index++) data[index] = nextValue()
  else if (datatype === 'BOOL') for (let index = 0; index < count; index++) (data as Uint8Array)[index] = nextValue() & 1
  else {
    const float = isFloat(datatype)
    for (let index = 0; index < count; index++) setNumber(data, datatype, index, float ? nextValue() : Math.round(nextValue()))
  }
  return data
}
