import { mergeHistograms } from './histogram.ts'
import { Type } from 'typebox'
import { API_VERSION, oneOf } from './schema.ts'
import type { HistogramData } from './histogram.ts'

/** A count that adds up. */
export interface CountData {
  readonly kind: 'count'
  readonly value: number
}

export type Statistic = CountData | HistogramData

/** What one server saw of one variant in one span of event time: the unit that everything downstream merges. */
export interface ObservationWindow {
  readonly apiVersion: 'slipway/v1'
  readonly key: WindowKey
  readonly statistics: Readonly<Record<string, Statistic>>
}

/** Windows are idempotent by key: a second one with the same key replaces the first. */
export interface WindowKey {
  readonly source: 'online' | 'batch' | 'stream' | 'external'
  readonly server: string
  /** Drawn anew at each start of the server, so that a restart never reuses a sequence number. */
  readonly bootId: string
  readonly sequence: number
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
  /** Grows with each change of weights; windows of different segments are never merged. */
  readonly segment: number
  readonly startMs: number
  readonly endMs: number
}

/** The grid of event time on which servers cut their windows. */
export const WINDOW_MS = 10_000

const Count = Type.Integer({ minimum: 0 })
const Pair = Type.Array(Type.Integer(), { minItems: 2, maxItems: 2, description: 'Index and count of a native bucket.' })

/** What a window looks like on its way; what is in it is checked before it is merged with anything. */
export const WindowSchema = Type.Object({
  apiVersion: Type.Literal(API_VERSION),
  key: Type.Object({
    source: oneOf(['online', 'batch', 'stream', 'external']),
    server: Type.String({ minLength: 1, maxLength: 250 }),
    bootId: Type.String({ minLength: 1, maxLength: 100 }),
    sequence: Count,
    endpoint: Type.String({ maxLength: 1000 }),
    variant: Type.String({ maxLength: 1000 }),
    model: Type.String({ maxLength: 1000 }),
    version: Type.String({ maxLength: 1000 }),
    segment: Count,
    startMs: Count,
    endMs: Count,
  }),
  statistics: Type.Record(
    Type.String({ maxLength: 300 }),
    Type.Union([
      Type.Object({ kind: Type.Literal('count'), value: Type.Number({ minimum: 0 }) }),
      Type.Object({
        kind: Type.Literal('histogram'),
        edges: Type.Array(Type.Number(), { maxItems: 200 }),
        counts: Type.Array(Count, { maxItems: 201 }),
        count: Count,
        sum: Type.Number(),
        schema: Type.Integer(),
        zeroThreshold: Type.Number(),
        zeroCount: Count,
        native: Type.Array(Pair, { maxItems: 2000 }),
      }),
    ]),
  ),
})

/**
 * Adds statistics name by name: associative and commutative; a name that only one side has is kept.
 * @throws RangeError when one name holds different kinds or edges
 */
export function mergeStatistics(a: Readonly<Record<string, Statistic>>, b: Readonly<Record<string, Statistic>>): Record<string, Statistic> {
  const merged: Record<string, Statistic> = { ...a }
  for (const [name, right] of Object.entries(b)) {
    const left = merged[name]
    if (left === undefined) merged[name] = right
    else if (left.kind === 'count' && right.kind === 'count') merged[name] = { kind: 'count', value: left.value + right.value }
    else if (left.kind === 'histogram' && right.kind === 'histogram') merged[name] = mergeHistograms(left, right)
    else throw new RangeError(`statistic "${name}" is a ${left.kind} on one side and a ${right.kind} on the other`)
  }
  return merged
}
