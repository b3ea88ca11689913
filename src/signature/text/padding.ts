import { allocate } from '../../tensor/tensor.ts'
import { isWide } from '../../tensor/datatype.ts'
import type { Encoding } from '../../tokenizer/tokenizer.ts'
import type { Tensor, TensorSpec } from '../../tensor/tensor.ts'
import type { Role, TextInputs } from './text.ts'

/** Texts as the inputs of a model: one row each, filled up to the same length. */
export function tensorsOf(
  { roles, padding }: TextInputs,
  specs: readonly TensorSpec[],
  encodings: readonly Encoding[],
  length: number,
): Tensor[] {
  return specs.map(({ name, datatype }, index) => {
    const role = roles[index]!
    const data = allocate(datatype, encodings.length * length)
    const wide = isWide(datatype)
    const set = (at: number, value: number): void => {
      if (wide) (data as BigInt64Array)[at] = BigInt(value)
      else (data as Int32Array)[at] = value
    }
    const filling = fillingOf(role, padding)
    for (const [row, encoding] of encodings.entries()) {
      const count = encoding.ids.length
      const start = row * length
      const begin = padding.side === 'left' ? start + length - count : start
      if (filling !== 0) for (let at = start; at < start + length; at++) if (at < begin || at >= begin + count) set(at, filling)
      for (let at = 0; at < count; at++) set(begin + at, valueOf(role, encoding, at))
    }
    return { name, datatype, shape: [encodings.length, length], data }
  })
}

/** What a token that does not count is to an input. */
export function fillingOf(role: Role, { id, typeId }: TextInputs['padding']): number {
  return role === 'ids' ? id : role === 'types' ? typeId : 0
}

function valueOf(role: Role, { ids, typeIds }: Encoding, at: number): number {
  switch (role) {
    case 'ids':
      return ids[at]!
    case 'mask':
      return 1
    case 'types':
      return typeIds[at]!
    case 'positions':
      return at
  }
}
