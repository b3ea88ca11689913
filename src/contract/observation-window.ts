import { Type } from 'typebox'
import { check, API_VERSION, oneOf } from './schema.ts'
import { readSeries, WireSeries, writeSeries } from './statistics/series.ts'
import type { Static } from 'typebox'
import type { Issue } from '../core/errors.ts'
import type { Labels, Series } from './statistics/series.ts'

/** Where what was seen came from. */
export const SOURCES = ['online', 'batch', 'stream', 'external'] as const
export type Source = (typeof SOURCES)[number]

/** What one server saw of one variant in one span of event time: the unit that everything downstream merges. */
export interface ObservationWindow {
  readonly key: WindowKey
  readonly series: readonly Series[]
}

/** Windows are idempotent by key: a second one with the same key is the same one. */
export interface WindowKey {
  readonly source: Source
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

const Key = Type.Object({
  source: oneOf(SOURCES),
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
})

/** What a window looks like on its way and at rest. */
export const WireWindow = Type.Object({
  apiVersion: Type.Literal(API_VERSION),
  key: Key,
  series: Type.Array(WireSeries, { maxItems: 10_000 }),
})
export type WireWindow = Static<typeof WireWindow>

/** The same, or as the first releases had it; `readWindow` reads either. */
export const AnyWindow = Type.Object({
  apiVersion: Type.Literal(API_VERSION),
  key: Key,
  series: Type.Optional(WireWindow.properties.series),
  statistics: Type.Optional(
    Type.Record(Type.String({ maxLength: 300 }), Type.Unknown(), { description: 'Of servers before 0.1: labels are part of the names.' }),
  ),
})

export function writeWindow({ key, series }: ObservationWindow): WireWindow {
  return { apiVersion: API_VERSION, key, series: writeSeries(series) }
}

/** Reads one that came, or was kept, also of the first releases. A kind of statistic that is not known is kept as it is. */
export function readWindow(wire: unknown): { readonly value: ObservationWindow } | { readonly issues: readonly Issue[] } {
  const checked = check(WireWindow, upgraded(wire))
  if ('issues' in checked) return checked
  const { key, series } = checked.value
  const read = readSeries(series)
  return 'issues' in read ? read : { value: { key, series: read.value } }
}

/** Until 0.1 the statistics of a window stood under names with their labels in them: `request_seconds{protocol=v2,code=200}`. */
function upgraded(wire: unknown): unknown {
  const { series, statistics, ...rest } = (wire ?? {}) as { readonly series?: unknown; readonly statistics?: unknown }
  if (series !== undefined || statistics === null || typeof statistics !== 'object') return wire
  return { ...rest, series: upgradedStatistics(statistics as Record<string, unknown>) }
}

/** The same for the statistics alone, as rollups keep them. */
export function upgradedStatistics(statistics: Readonly<Record<string, unknown>>): unknown[] {
  return Object.entries(statistics).map(([named, statistic]) => {
    const [, name = named, details = ''] = /^([^{]*)\{(.*)\}$/.exec(named) ?? []
    const labels: Labels = Object.fromEntries(
      details
        .split(',')
        .filter((detail) => detail !== '')
        .map((detail) => {
          const at = detail.indexOf('=')
          const [label, value] = [detail.slice(0, at), detail.slice(at + 1)]
          return [label, label === 'code' ? Number(value) : value]
        }),
    )
    return { name, labels, statistic }
  })
}
