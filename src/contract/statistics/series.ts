/** Statistics with a name and labels, and sets of them. */
import { Type } from 'typebox'
import {
  isEmptyStatistic,
  mergeStatistics,
  readStatistic,
  subtractStatistics,
  unreadable,
  WireStatisticSchema,
  writeStatistic,
} from './statistics.ts'
import type { Static } from 'typebox'
import type { Issue } from '../../core/errors.ts'
import type { KnownStatistic, Statistic } from './statistics.ts'

export type LabelValue = string | number | boolean
export type Labels = Readonly<Record<string, LabelValue>>

/** One statistic: `request_seconds` of `{protocol: 'v2', code: 200}`. */
export interface Series<S extends Statistic = Statistic> {
  readonly name: string
  readonly labels: Labels
  readonly statistic: S
}

export const WireSeries = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 100 }),
  labels: Type.Record(Type.String({ maxLength: 100 }), Type.Union([Type.String({ maxLength: 200 }), Type.Number(), Type.Boolean()])),
  statistic: WireStatisticSchema,
})
export type WireSeries = Static<typeof WireSeries>

/**
 * Key of one statistic in a set, whatever the order of its labels. A statistic that this release cannot merge stands beside one that it
 * can, where another release has used another kind for the same name.
 */
export function seriesKey({ name, labels, statistic }: Series): string {
  const sorted = Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([name, sorted, statistic.kind === 'unmerged'])
}

/** Reads a received set. */
export function readSeries(wire: readonly WireSeries[]): { readonly value: Series[] } | { readonly issues: readonly Issue[] } {
  const series: Series[] = []
  for (const [index, { name, labels, statistic }] of wire.entries()) {
    const read = readStatistic(statistic)
    if ('issues' in read)
      return {
        issues: read.issues.map(({ path, message }) => ({ path: `series[${index}].statistic.${path}`, message: `${name}: ${message}` })),
      }
    for (const value of read.values) series.push({ name, labels, statistic: value })
  }
  return { value: series }
}

/** Reads a stored set. Unreadable statistics, as after a fault of an earlier release, are kept as they are and disturb no others. */
export function readSeriesAtRest(wire: readonly WireSeries[]): Series[] {
  return wire.flatMap(({ name, labels, statistic }) => {
    const read = readStatistic(statistic)
    const values: readonly Statistic[] = 'issues' in read ? [unreadable(statistic)] : read.values
    return values.map((value) => ({ name, labels, statistic: value }))
  })
}

export function writeSeries(series: readonly Series[]): WireSeries[] {
  return series.map(({ name, labels, statistic }) => ({ name, labels: { ...labels }, statistic: writeStatistic(statistic) }))
}

/**
 * Adds two sets name by name, labels by labels: associative and commutative; a statistic that only one side has is kept.
 * @throws RangeError where one name holds different kinds, or statistics that were taken in different ways
 */
export function mergeSeries<S extends Statistic>(a: readonly Series<S>[], b: readonly Series<S>[]): Series<S>[] {
  const merged = new Map(a.map((series) => [seriesKey(series), series]))
  for (const series of b) {
    const key = seriesKey(series)
    const other = merged.get(key)
    merged.set(key, other === undefined ? series : { ...series, statistic: mergedOf(series.name, other.statistic, series.statistic) as S })
  }
  return [...merged.values()]
}

function mergedOf(name: string, a: Statistic, b: Statistic): Statistic {
  try {
    return mergeStatistics(a, b)
  } catch (error) {
    throw new RangeError(`statistic "${name}": ${(error as Error).message}`, { cause: error })
  }
}

/**
 * Growth of a set since `before`. Statistics that have not grown are left out, and so are those that have become less: their observations
 * have moved to another place and were counted here before.
 */
export function growthOf(now: readonly Series<KnownStatistic>[], before: readonly Series<KnownStatistic>[]): Series<KnownStatistic>[] {
  const earlier = new Map(before.map((series) => [seriesKey(series), series.statistic]))
  return now.flatMap((series) => {
    const then = earlier.get(seriesKey(series))
    const grown = then === undefined ? series.statistic : subtractStatistics(series.statistic, then)
    return grown === undefined || isEmptyStatistic(grown) ? [] : [{ ...series, statistic: grown }]
  })
}
