import type { TSchema } from 'typebox'

/** A statistic on its way or at rest: JSON that says of which kind it is. */
export interface WireStatistic {
  readonly kind: string
}

/**
 * A kind of statistic that merges. Merging is associative and commutative, so that it does not matter who saw what, in which order it
 * arrives, and how often it is added up on its way.
 */
export interface StatisticKind<T extends { readonly kind: string }> {
  readonly kind: T['kind']
  /** Of what is on its way. */
  readonly schema: TSchema
  encode(statistic: T): WireStatistic
  /** Of what its schema has accepted. */
  decode(wire: WireStatistic): T
  /** @throws RangeError where they were not taken in the same way, such as over other edges */
  merge(a: T, b: T): T
  /** What has come since `before`; undefined where there is less than before: it has not only grown. @throws RangeError as merge */
  subtract(now: T, before: T): T | undefined
  /** Whether nothing was observed. */
  isEmpty(statistic: T): boolean
}
