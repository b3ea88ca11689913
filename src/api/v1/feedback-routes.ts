import { Type } from 'typebox'
import { FeedbackAnswer, FeedbackBody, FeedbackReport, itemsOf } from '../../contract/feedback.ts'
import { readReceipt } from '../../contract/receipt.ts'
import { SlipwayError } from '../../core/errors.ts'
import { openFeedback } from '../../security/receipts.ts'
import { isOf } from '../../monitoring/evidence.ts'
import { trafficOf } from '../../monitoring/traffic.ts'
import { v1RoutesOf } from './route.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Ground } from '../../ledger/scope.ts'
import type { Feedback } from '../../monitoring/feedback.ts'
import type { Windows } from '../../monitoring/windows.ts'
import type { V1Route } from './route.ts'

/** Services that these routes use. */
export interface FeedbackServices {
  readonly feedback: Feedback
  readonly windows: Windows
  readonly delivery: Delivery
  readonly ground: Ground
}

const v1Route = v1RoutesOf<FeedbackServices>()

const tag = 'feedback'
/** Span of a report where none is asked for: a week. */
const WEEK_MS = 7 * 24 * 3_600_000

export const FEEDBACK_ROUTES: readonly V1Route<FeedbackServices>[] = [
  v1Route({
    method: 'POST',
    path: '/feedback',
    operation: 'sendFeedback',
    summary: 'True outcomes of predictions, named by their receipts. The same one again changes nothing; late ones are taken for 400 days',
    tag,
    action: 'feedback',
    models: () => 'any',
    body: FeedbackBody,
    answer: FeedbackAnswer,
    handle: async ({ services, scope, body, caller }) => {
      const items = itemsOf(body)
      const named = new Set(items.flatMap(({ id }) => readReceipt(id)?.receipt.endpoint ?? []))
      const keys = await services.delivery.receiptKeys(scope.environment, [...named])
      const nowMs = services.ground.clock.epochMs()
      const { opened, refused } = openFeedback(items, {
        nowMs,
        keysOf: (endpoint) => keys.get(endpoint),
        permit({ model }) {
          if (!caller.may('feedback', { environment: scope.environment, models: [model] }))
            throw new SlipwayError('SLW_FORBIDDEN', `you may not send feedback on the model "${model}"`)
        },
      })
      const labelled = opened.map(({ item: { label, time = nowMs, weight = 1 }, receipt }) => ({ receipt, label, atMs: time, weight }))
      await services.feedback.add(scope.environment, labelled)
      return { body: { accepted: labelled.length, refused } }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/endpoints/:endpoint/feedback',
    operation: 'feedbackReport',
    summary: 'How often each version was right, by the labels that have come so far, and for how many of its predictions there are any',
    tag,
    action: 'read',
    models: async ({ services, environment, params }) =>
      await services.delivery.endpoints.modelsEverServed({ environment, actor: 'slipway' }, params['endpoint']!),
    query: Type.Object(
      {
        from: Type.Optional(Type.Integer({ minimum: 0, description: 'Of the predictions, UTC epoch milliseconds. Default: a week ago.' })),
        until: Type.Optional(Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds. Default: now.' })),
      },
      { additionalProperties: false },
    ),
    answer: FeedbackReport,
    handle: async ({ services, scope, params, query }) => {
      const endpoint = params['endpoint']!
      await services.delivery.endpoints.get(scope, endpoint)
      const until = query.until ?? services.ground.clock.epochMs()
      const from = query.from ?? until - WEEK_MS
      const span = until - from > 13 * 24 * 3_600_000 ? '1h' : '1m'
      const [labels, rollups] = await Promise.all([
        services.feedback.report({ environment: scope.environment, endpoint, fromMs: from, untilMs: until }),
        services.windows.list(scope.environment, { span, fromMs: from, untilMs: until, endpoint }),
      ])
      const traffic = trafficOf(rollups, until - from)
      const unlabelled = traffic
        .filter((one) => !labels.some((other) => isOf(one, other)))
        .map(({ variant, model, version }) => ({ variant, model, version, labels: 0, right: 0, wrong: 0 }))
      const versions = [...labels, ...unlabelled].map((known) => {
        const seen = traffic.find((one) => isOf(one, known))
        const predictions = seen === undefined ? 0 : Math.max(0, seen.requests - seen.errors - seen.refused)
        const coverage = predictions === 0 ? undefined : Math.min(1, known.labels / predictions)
        return { ...known, predictions, coverage }
      })
      return { body: { endpoint, versions, from, until } }
    },
  }),
]
