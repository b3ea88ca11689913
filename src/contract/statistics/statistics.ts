/** The kinds of statistics that this release knows, and the handling of all others. A new kind is a file and a line here. */
import { Type } from 'typebox'
import { check } from '../schema.ts'
import { countKind } from './count.ts'
import { histogramKind } from './histogram.ts'
import { quantilesKind } from './quantile-sketch.ts'
import { unitsKind } from './units.ts'
import type { Issue } from '../../core/errors.ts'
import type { CountData } from './count.ts'
import type { HistogramData } from './histogram.ts'
import type { StatisticKind, WireStatistic } from './kind.ts'
import type { QuantilesData } from './quantile-sketch.ts'
import type { UnitsData } from './units.ts'

export type KnownStatistic = CountData | HistogramData | QuantilesData | UnitsData

/**
 * Statistics of a kind that this release does not know, as they were received: a later reader merges them. They are kept side by side, up
 * to a limit.
 */
export interface UnmergedData {
  readonly kind: 'unmerged'
  readonly parts: readonly WireStatistic[]
  /** Number of parts that were dropped. */
  readonly dropped: number
}

export type Statistic = KnownStatistic | UnmergedData

const KINDS: ReadonlyMap<string, StatisticKind<never>> = new Map(
  [countKind, histogramKind, quantilesKind, unitsKind].map((kind) => [kind.kind, kind as unknown as StatisticKind<never>]),
)

/** Limit of parts of unknown kinds that are kept for one statistic: an hour of a server, and more. */
const PARTS_MAX = 1000

/** Wire form of a statistic; {@link readStatistic} checks the contents of known kinds. */
export const WireStatisticSchema = Type.Unsafe<WireStatistic>(
  Type.Object({ kind: Type.String({ minLength: 1, maxLength: 100 }) }, { additionalProperties: true }),
)

const UnmergedSchema = Type.Object({
  kind: Type.Literal('unmerged'),
  parts: Type.Array(WireStatisticSchema, { maxItems: PARTS_MAX }),
  dropped: Type.Integer({ minimum: 0 }),
})

export type StatisticsRead = { readonly values: readonly Statistic[] } | { readonly issues: readonly Issue[] }

/**
 * Reads a received statistic: a known kind is checked, an unknown one is kept as it is. Parts that another release could not merge are
 * merged where their kind is known here, so that several statistics may result.
 */
export function readStatistic(wire: WireStatistic): StatisticsRead {
  if (wire.kind === 'unmerged') return readUnmerged(wire)
  const kind = KINDS.get(wire.kind)
  if (kind === undefined) return { values: [{ kind: 'unmerged', parts: [wire], dropped: 0 }] }
  const checked = check(kind.schema, wire)
  return 'issues' in checked ? checked : { values: [kind.decode(wire)] }
}

function readUnmerged(wire: WireStatistic): StatisticsRead {
  const checked = check(UnmergedSchema, wire)
  if ('issues' in checked) return checked
  const { parts, dropped } = checked.value
  const unknown = parts.filter(({ kind }) => !KINDS.has(kind))
  if (unknown.some(({ kind }) => kind === 'unmerged')) return { issues: [{ path: 'parts', message: 'a part is unmerged itself' }] }
  const known = new Map<string, Statistic>()
  for (const part of parts) {
    if (!KINDS.has(part.kind)) continue
    const read = readStatistic(part)
    if ('issues' in read) return read
    for (const one of read.values) {
      const other = known.get(one.kind)
      const sum = other === undefined ? one : mergedOrUndefined(other, one)
      if (sum === undefined) return { issues: [{ path: 'parts', message: `parts of kind ${one.kind} do not fit together` }] }
      known.set(one.kind, sum)
    }
  }
  return { values: unknown.length > 0 || dropped > 0 ? [...known.values(), bounded(unknown, dropped)] : [...known.values()] }
}

/** Wraps an unreadable statistic as it is, so that nothing is lost. */
export function unreadable(wire: WireStatistic): UnmergedData {
  return { kind: 'unmerged', parts: [wire], dropped: 0 }
}

/** Undefined where the two were taken in different ways. */
function mergedOrUndefined(a: Statistic, b: Statistic): Statistic | undefined {
  try {
    return mergeStatistics(a, b)
  } catch {
    return undefined
  }
}

/** A single statistic of an unknown kind is written as it was received. */
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

/** Growth since `before`; undefined where the statistic has not only grown. @throws as {@link mergeStatistics} */
export function subtractStatistics(now: KnownStatistic, before: KnownStatistic): KnownStatistic | undefined {
  if (now.kind !== before.kind) throw differ(now, before)
  return kindOf(now).subtract(now as never, before as never) as KnownStatistic | undefined
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

/** Sorts the parts, so that the order of merging does not matter, and drops those beyond the limit. */
function bounded(parts: WireStatistic[], dropped: number): UnmergedData {
  const texts = new Map(parts.map((part) => [part, JSON.stringify(part)]))
  const sorted = parts.toSorted((a, b) => (texts.get(a)! < texts.get(b)! ? -1 : 1))
  return { kind: 'unmerged', parts: sorted.slice(0, PARTS_MAX), dropped: dropped + Math.max(0, sorted.length - PARTS_MAX) }
}
