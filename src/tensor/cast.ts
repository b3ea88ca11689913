import { inputInvalid } from '../core/errors.ts'
import { datatypeInfo, isFloat, isWide } from './datatype.ts'
import { allocate, setNumber, toNumbers } from './tensor.ts'
import type { Datatype } from './datatype.ts'
import type { Tensor } from './tensor.ts'

/**
 * A tensor of numbers as one of another datatype, as NumPy's `astype` makes it, where no value changes but by rounding of floats.
 * @throws SLW_INPUT_INVALID for fractions, infinities and values out of range where integers are wanted, and between texts and numbers
 */
export function castTensor(tensor: Tensor, datatype: Datatype): Tensor {
  if (tensor.datatype === datatype) return tensor
  if (tensor.datatype === 'BYTES' || datatype === 'BYTES') throw refused(tensor, `is ${tensor.datatype}, expected ${datatype}`)
  const count = tensor.data.length
  const data = allocate(datatype, count)
  const wide = isWide(tensor.datatype)
  const numbers = wide ? undefined : toNumbers(tensor)
  const [low, high] = datatypeInfo(datatype).range ?? [0n, 1n]
  for (let index = 0; index < count; index++) {
    const value = wide ? (tensor.data as BigInt64Array)[index]! : numbers![index]!
    if (!isFloat(datatype)) {
      if (typeof value === 'number' && !Number.isInteger(value)) throw refused(tensor, `${value} at ${index} is no ${datatype}`)
      const whole = BigInt(value)
      if (whole < low || whole > high) throw refused(tensor, `${value} at ${index} is outside ${datatype}`)
      if (isWide(datatype)) (data as BigInt64Array)[index] = whole
      else setNumber(data, datatype, index, Number(whole))
    } else setNumber(data, datatype, index, Number(value))
  }
  return { ...tensor, datatype, data }
}

function refused({ name }: Tensor, message: string): Error {
  return inputInvalid([{ path: `inputs.${name}`, message }])
}
