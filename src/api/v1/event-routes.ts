import { PAGE_LIMIT } from './page-token.ts'
import { Type } from 'typebox'
import { EventAnswer, EventQuery, pageOfThings, PageQuery } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { eventAnswer } from './event-answer.ts'
import { v1RoutesOf } from './route.ts'
import { sendEvents } from './sse.ts'
import type { History } from '../../ledger/history.ts'
import type { V1Call, V1Route } from './route.ts'
import type { News } from '../news.ts'

/** Services that these routes use. */
export interface EventServices {
  readonly history: History
  readonly news: News
}

const v1Route = v1RoutesOf<EventServices>()

const tag = 'events'
const AT_ONCE = 500

const Moment = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description: `${description} UTC epoch milliseconds.` }))

export const EVENT_ROUTES: readonly V1Route<EventServices>[] = [
  v1Route({
    method: 'GET',
    path: '/events',
    operation: 'listEvents',
    summary: 'What was changed, when, by whom and why; the newest first',
    tag,
    action: 'read',
    query: Type.Object(
      { ...EventQuery, from: Moment('Not before.'), until: Moment('Not after.'), ...PageQuery },
      { additionalProperties: false },
    ),
    answer: pageOfThings(EventAnswer),
    handle: async ({ services, scope, query }) => {
      const { limit = PAGE_LIMIT, pageToken, ...filter } = query
      const before = pageToken === undefined ? undefined : sequenceOf(pageToken)
      const { history } = services
      const [found, total] = await Promise.all([history.list(scope, filter, { limit: limit + 1, before }), history.count(scope, filter)])
      const items = found.slice(0, limit).map(eventAnswer)
      const last = items.at(-1)
      return { body: { items, total, ...(found.length > limit && last !== undefined && { nextPageToken: String(last.sequence) }) } }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/events/stream',
    operation: 'followEvents',
    summary: 'What is changed from now on, or after `Last-Event-ID`, as server-sent events; 410 where that is too long ago',
    tag,
    action: 'read',
    query: Type.Object(
      {
        ...EventQuery,
        after: Type.Optional(Type.Integer({ minimum: 0, description: 'Instead of Last-Event-ID. Default: the newest event.' })),
      },
      { additionalProperties: false },
    ),
    handle: async (call, reply) => {
      const { services, scope, query } = call
      const { history } = services
      const { after, ...filter } = query
      const upTo = await history.last()
      const from = lastSeen(call) ?? after ?? upTo
      // An expired position is refused before the stream begins.
      await history.after(scope, from, filter, { limit: 1, upTo })
      await sendEvents({ call, reply, from, ended: services.news.ended }, async (seen, signal) => {
        const known = await services.news.after(seen, signal)
        if (known <= seen) return { messages: [], upTo: seen }
        const events = await history.after(scope, seen, filter, { limit: AT_ONCE, upTo: known })
        const messages = events.map((event) => ({ id: event.sequence, event: `${event.kind}.${event.action}`, data: eventAnswer(event) }))
        return { messages, upTo: events.length === AT_ONCE ? events.at(-1)!.sequence : known }
      })
      return {}
    },
  }),
]

function lastSeen({ request }: Pick<V1Call<EventServices>, 'request'>): number | undefined {
  const header = request.headers['last-event-id']
  if (header === undefined || header === '') return undefined
  return sequenceOf(String(header))
}

function sequenceOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new SlipwayError('SLW_INPUT_INVALID', `${JSON.stringify(text.slice(0, 100))} is no number of an event`)
}
