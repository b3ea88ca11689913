import { Type } from 'typebox'

/** Words for NaN and infinities in the wire form, as JSON has no form for them. */
const WORDS = ['NaN', 'Infinity', '-Infinity'] as const

/** Wire form of a number: itself, or a word. */
export type Real = number | (typeof WORDS)[number]

export const RealSchema = Type.Unsafe<Real>({ anyOf: [{ type: 'number' }, { type: 'string', enum: [...WORDS] }] })

export function isReal(value: unknown): value is Real {
  return typeof value === 'number' || WORDS.includes(value as (typeof WORDS)[number])
}

export function encodeReal(value: number): Real {
  return Number.isFinite(value) ? value : (String(value) as Real)
}

export function decodeReal(value: Real): number {
  return Number(value)
}
