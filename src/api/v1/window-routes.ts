import { Type } from 'typebox'
import { TrafficAnswer } from '../../contract/delivery-api.ts'
import { SPANS } from '../../monitoring/windows.ts'
import { AnyWindow, readWindow, SOURCES } from '../../contract/observation-window.ts'
import { WireSeries, writeSeries } from '../../contract/statistics/series.ts'
import { oneOf } from '../../contract/schema.ts'
import { inputInvalid, SlipwayError } from '../../core/errors.ts'
import { recentSpan, trafficOf } from '../../monitoring/traffic.ts'
import { speakerOf } from './follow-routes.ts'
import { v1RoutesOf } from './route.ts'
import type { ObservationWindow } from '../../contract/observation-window.ts'
import type { V1Route } from './route.ts'
import type { Windows } from '../../monitoring/windows.ts'
import type { Keys } from '../../access/keys.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface WindowServices {
  readonly windows: Windows
  readonly delivery: Delivery
  readonly keys: Keys
  readonly ground: Ground
}

const v1Route = v1RoutesOf<WindowServices>()

const tag = 'windows'
const closed = { additionalProperties: false } as const
const Optional = Type.Optional

export const WINDOW_ROUTES: readonly V1Route<WindowServices>[] = [
  v1Route({
    method: 'POST',
    path: '/servers/:server/windows',
    operation: 'pushWindows',
    summary: 'What a server saw. Each window counts once, however often it is sent',
    tag,
    action: 'report',
    body: Type.Object(
      { sentAt: Type.Integer({ description: 'By the clock of the server.' }), windows: Type.Array(AnyWindow, { maxItems: 20_000 }) },
      closed,
    ),
    handle: async ({ services, scope, params, body, caller }) => {
      const server = params['server']!
      const speaker = await speakerOf(services, { caller, scope, server })
      if (speaker !== undefined) await services.delivery.servers.requireSpeaker(scope, server, speaker)
      const other = body.windows.find(({ key }) => key.server !== server)
      if (other !== undefined)
        throw new SlipwayError('SLW_INPUT_INVALID', `a window of server "${other.key.server}" was sent by "${server}"`)
      const windows = body.windows.map((wire, index): ObservationWindow => {
        const read = readWindow(wire)
        if ('value' in read) return read.value
        throw inputInvalid(read.issues.map((issue) => ({ ...issue, path: `windows[${index}].${issue.path}` })))
      })
      await services.windows.add(scope.environment, windows, body.sentAt)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: '/windows',
    operation: 'listWindows',
    summary: 'What all servers saw, added up by version and span of time',
    tag,
    action: 'read',
    query: Type.Object(
      {
        span: oneOf(['10s', '1m', '1h'], { description: 'Kept for 6 hours, 14 days, 400 days.' }),
        from: Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds.' }),
        until: Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds, not part of it.' }),
        endpoint: Optional(Type.String()),
        source: Optional(oneOf(SOURCES, { description: 'Where it came from. Default: all, each apart.' })),
      },
      closed,
    ),
    answer: Type.Object({
      items: Type.Array(
        Type.Object({
          startMs: Type.Integer(),
          endMs: Type.Integer(),
          endpoint: Type.String(),
          variant: Type.String(),
          model: Type.String(),
          version: Type.String(),
          segment: Type.Integer(),
          source: oneOf(SOURCES),
          series: Type.Array(WireSeries),
        }),
      ),
      total: Type.Integer(),
    }),
    handle: async ({ services, scope, query }) => {
      const { span, from, until, endpoint, source } = query
      if (until - from > 10_000 * SPANS[span].spanMs)
        throw new SlipwayError('SLW_INPUT_INVALID', `from and until are more than 10000 spans of ${span} apart: ask for a longer span`)
      const found = await services.windows.list(scope.environment, { span, fromMs: from, untilMs: until, endpoint, source })
      const items = found.map(({ series, ...rollup }) => ({ ...rollup, series: writeSeries(series) }))
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/traffic',
    operation: 'getTraffic',
    summary: 'Rate, errors and latency of every version in the time that has just passed',
    tag,
    action: 'read',
    query: Type.Object(
      {
        endpoint: Optional(Type.String()),
        lastMs: Optional(
          Type.Integer({ minimum: 10_000, maximum: 3_600_000, description: 'How much time, in steps of 10 s. Default: 60000.' }),
        ),
      },
      closed,
    ),
    answer: Type.Object({
      items: Type.Array(TrafficAnswer),
      total: Type.Integer(),
      from: Type.Integer(),
      until: Type.Integer(),
    }),
    handle: async ({ services, scope, query }) => {
      const lengthMs = Math.round((query.lastMs ?? 60_000) / 10_000) * 10_000
      const { fromMs, untilMs } = recentSpan(services.ground.clock.epochMs(), lengthMs)
      const rollups = await services.windows.list(scope.environment, {
        span: '10s',
        fromMs,
        untilMs,
        endpoint: query.endpoint,
        source: 'online',
      })
      const items = trafficOf(rollups, lengthMs).map(({ p50Ms, p99Ms, ...traffic }) => ({
        ...traffic,
        ...(p50Ms !== undefined && { p50Ms }),
        ...(p99Ms !== undefined && { p99Ms }),
      }))
      return { body: { items, total: items.length, from: fromMs, until: untilMs } }
    },
  }),
]
