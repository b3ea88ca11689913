import { Type } from 'typebox'
import { decodeReal, encodeReal, RealSchema } from './real.ts'
import type { StatisticKind } from './kind.ts'
import type { Real } from './real.ts'

/** A counter, merged by addition. */
export interface CountData {
  readonly kind: 'count'
  readonly value: number
}

export const countKind: StatisticKind<CountData> = {
  kind: 'count',
  schema: Type.Object({ kind: Type.Literal('count'), value: RealSchema }),
  encode: ({ value }) => ({ kind: 'count', value: encodeReal(value) }) as CountData,
  decode: (wire) => ({ kind: 'count', value: decodeReal((wire as unknown as { value: Real }).value) }),
  merge: (a, b) => ({ kind: 'count', value: a.value + b.value }),
  subtract: (now, before) => (before.value > now.value ? undefined : { kind: 'count', value: now.value - before.value }),
  isEmpty: ({ value }) => value === 0,
}
