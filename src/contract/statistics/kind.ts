import type { TSchema } from 'typebox'

/** A statistic as it is sent and stored: JSON that names its kind. */
export interface WireStatistic {
  readonly kind: string
}

/**
 * A kind of statistic that merges. Merging is associative and commutative, so that the origin of statistics, the order in which they arrive
 * and the number of merges on the way do not matter. Of a sketch this holds within the error that its kind states.
 */
export interface StatisticKind<T extends { readonly kind: string }> {
  readonly kind: T['kind']
  /** Schema of the wire form. */
  readonly schema: TSchema
  encode(statistic: T): WireStatistic
  /** Decodes a wire form that `schema` has accepted. */
  decode(wire: WireStatistic): T
  /** @throws RangeError where the two were not taken in the same way, such as over other edges */
  merge(a: T, b: T): T
  /** Growth since `before`; undefined where the statistic has not only grown. @throws RangeError as merge */
  subtract(now: T, before: T): T | undefined
  /** Whether nothing was observed. */
  isEmpty(statistic: T): boolean
}
