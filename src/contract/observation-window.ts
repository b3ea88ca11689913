import { Type } from 'typebox'
import { check, API_VERSION, oneOf } from './schema.ts'
import { readSeries, WireSeries, writeSeries } from './statistics/series.ts'
import type { Static } from 'typebox'
import type { Issue } from '../core/errors.ts'
import type { Labels, Series } from './statistics/series.ts'

/** Origins of observations. */
export const SOURCES = ['online', 'batch', 'stream', 'external'] as const
export type Source = (typeof SOURCES)[number]

/** Observations of one variant by one server in one span of event time: the unit that everything downstream merges. */
export interface ObservationWindow {
  readonly key: WindowKey
  readonly series: readonly Series[]
}

/** Windows are idempotent by key: a second one with the same key is the same one. */
export interface WindowKey {
  readonly source: Source
  readonly server: string
  /** Drawn at each start of the server, so that a restart never reuses a sequence number. */
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

/** Length of a window: servers cut their windows on this grid of event time. */
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

/** A window as it is sent and stored. */
export const WireWindow = Type.Object({
  apiVersion: Type.Literal(API_VERSION),
  key: Key,
  series: Type.Array(WireSeries, { maxItems: 10_000 }),
})
export type WireWindow = Static<typeof WireWindow>

/** A window as it is sent now or as the first releases sent it; `readWindow` reads either. */
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

/** Reads a received or stored window, also of the first releases. A statistic of an unknown kind is kept as it is. */
export function readWindow(wire: unknown): { readonly value: ObservationWindow } | { readonly issues: readonly Issue[] } {
  const checked = check(WireWindow, upgraded(wire))
  if ('issues' in checked) return checked
  const { key, series } = checked.value
  const read = readSeries(series)
  return 'issues' in read ? read : { value: { key, series: read.value } }
}

/** Upgrades a window of a release before 0.1, whose statistics had their labels in their names: `request_seconds{protocol=v2,code=200}`. */
function upgraded(wire: unknown): unknown {
  const { series, statistics, ...rest } = (wire ?? {}) as { readonly series?: unknown; readonly statistics?: unknown }
  if (series !== undefined || statistics === null || typeof statistics !== 'object') return wire
  return { ...rest, series: upgradedStatistics(statistics as Record<string, unknown>) }
}

/** Upgrades the statistics alone, as rollups store them. */
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
