/** The kinds of statistics that this release knows, and what is done with those that it does not. A new kind is a file and a line here. */
import { Type } from 'typebox'
import { check } from '../schema.ts'
import { countKind } from './count.ts'
import { histogramKind } from './histogram.ts'
import type { Issue } from '../../core/errors.ts'
import type { CountData } from './count.ts'
import type { HistogramData } from './histogram.ts'
import type { StatisticKind, WireStatistic } from './kind.ts'

export type KnownStatistic = CountData | HistogramData

/**
 * Statistics of a kind that this release does not know, as they came: a later reader merges them. They are kept one beside the other, and
 * not without end.
 */
export interface UnmergedData {
  readonly kind: 'unmerged'
  readonly parts: readonly WireStatistic[]
  /** Parts that were given up. */
  readonly dropped: number
}

export type Statistic = KnownStatistic | UnmergedData

const KINDS: ReadonlyMap<string, StatisticKind<never>> = new Map(
  [countKind, histogramKind].map((kind) => [kind.kind, kind as unknown as StatisticKind<never>]),
)

/** Parts of unknown kinds that are kept of one statistic: an hour of a server, and more. */
const PARTS_MAX = 1000

/** What a statistic looks like on its way; what is in one of a known kind is checked by {@link readStatistic}. */
export const WireStatisticSchema = Type.Unsafe<WireStatistic>(
  Type.Object({ kind: Type.String({ minLength: 1, maxLength: 100 }) }, { additionalProperties: true }),
)

/** Reads what came: of a kind that is known, checked; of another one, as it is. */
export function readStatistic(wire: WireStatistic): { readonly value: Statistic } | { readonly issues: readonly Issue[] } {
  if (wire.kind === 'unmerged') {
    const { parts = [], dropped = 0 } = wire as Partial<Omit<UnmergedData, 'kind'>>
    return { value: bounded([...parts], dropped) }
  }
  const kind = KINDS.get(wire.kind)
  if (kind === undefined) return { value: { kind: 'unmerged', parts: [wire], dropped: 0 } }
  const checked = check(kind.schema, wire)
  return 'issues' in checked ? checked : { value: kind.decode(wire) }
}

/** A single one of an unknown kind leaves as it came. */
export function writeStatistic(statistic: Statistic): WireStatistic {
  if (statistic.kind === 'unmerged') return statistic.parts.length === 1 && statistic.dropped === 0 ? statistic.parts[0]! : statistic
  return kindOf(statistic).encode(statistic as never)
}

/** @throws RangeError for different kinds, and as `StatisticKind.merge` */
export function mergeStatistics(a: Statistic, b: Statistic): Statistic {
  if (a.kind === 'unmerged' && b.kind === 'unmerged') return bounded([...a.parts, ...b.parts], a.dropped + b.dropped)
  if (a.kind === 'unmerged' || b.kind === 'unmerged') throw differ(a, b)
  if (a.kind !== b.kind) throw differ(a, b)
  return kindOf(a).merge(a as never, b as never) as Statistic
}

/** What has come since `before`. @throws as {@link mergeStatistics} */
export function subtractStatistics(now: KnownStatistic, before: KnownStatistic): KnownStatistic {
  if (now.kind !== before.kind) throw differ(now, before)
  return kindOf(now).subtract(now as never, before as never) as KnownStatistic
}

export function isEmptyStatistic(statistic: KnownStatistic): boolean {
  return kindOf(statistic).isEmpty(statistic as never)
}

function kindOf({ kind }: KnownStatistic): StatisticKind<never> {
  return KINDS.get(kind)!
}

function differ(a: Statistic, b: Statistic): RangeError {
  return new RangeError(`a ${a.kind} on one side and a ${b.kind} on the other`)
}

/** In one order, so that it does not matter who was added to whom. */
function bounded(parts: WireStatistic[], dropped: number): UnmergedData {
  const texts = new Map(parts.map((part) => [part, JSON.stringify(part)]))
  const sorted = parts.toSorted((a, b) => (texts.get(a)! < texts.get(b)! ? -1 : 1))
  return { kind: 'unmerged', parts: sorted.slice(0, PARTS_MAX), dropped: dropped + Math.max(0, sorted.length - PARTS_MAX) }
}
