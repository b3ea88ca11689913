import fc from 'fast-check'
import { allocate, elementAt, elementCount } from '../../src/tensor/tensor.ts'
import { DATATYPES, isFloat } from '../../src/tensor/datatype.ts'
import { numberToBfloat, numberToHalf } from '../../src/tensor/half.ts'
import type { Datatype } from '../../src/tensor/datatype.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

export const ALL_DATATYPES = Object.keys(DATATYPES) as Datatype[]

const NUMBERS = [0, 1, -1, 1.5, -0.1, 65_504, 1e-7, 3.4e38, 5e-324, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, -0]
const TEXTS = ['', 'plain', 'Grüße', '日本語', '🚀 and "quotes" \\', 'line\nbreak\ttab']

/** Elements that show what a datatype can hold: its limits, and what is easily lost. */
export function telling(datatype: Datatype): readonly (number | bigint | string)[] {
  const info = DATATYPES[datatype]
  if (datatype === 'BYTES') return TEXTS
  if (datatype === 'BOOL') return [0, 1, 1, 0]
  if (isFloat(datatype)) return NUMBERS
  const [low, high] = (info as { range: readonly [bigint, bigint] }).range
  return [low, low + 1n, 0n, 1n, high - 1n, high]
}

/** A tensor of this shape, filled with telling elements over and over. */
export function tensorOf(datatype: Datatype, shape: readonly number[], name = 'x'): Tensor {
  const values = telling(datatype)
  const data = allocate(datatype, elementCount(shape))
  for (let index = 0; index < data.length; index++) {
    const value = values[index % values.length]!
    if (Array.isArray(data)) data[index] = value as string
    else if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[index] = value as bigint
    else if (datatype === 'FP16') data[index] = numberToHalf(value as number)
    else if (datatype === 'BF16') data[index] = numberToBfloat(value as number)
    else data[index] = Number(value)
  }
  return { name, datatype, shape, data }
}

/** What the tensor holds, so that two can be compared whatever memory they are in: NaN is NaN, -0 is not 0. */
export function contents(tensor: Tensor): unknown {
  return {
    name: tensor.name,
    datatype: tensor.datatype,
    shape: [...tensor.shape],
    values: Array.from({ length: tensor.data.length }, (_, index) => elementAt(tensor, index)),
  }
}

/** Shapes with few elements, zero sizes among them. */
export const smallShape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 })
