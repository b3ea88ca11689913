import { mergeHistograms } from './histogram.ts'
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
