import { Type } from 'typebox'

/** JSON has no form for NaN and infinities: on their way they are these words. */
const WORDS = ['NaN', 'Infinity', '-Infinity'] as const

/** A number on its way: itself, or a word. */
export type Real = number | (typeof WORDS)[number]

export const RealSchema = Type.Unsafe<Real>({ anyOf: [{ type: 'number' }, { type: 'string', enum: [...WORDS] }] })

export function encodeReal(value: number): Real {
  return Number.isFinite(value) ? value : (String(value) as Real)
}

export function decodeReal(value: Real): number {
  return Number(value)
}
