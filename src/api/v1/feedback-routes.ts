import { Type } from 'typebox'
import { FeedbackAnswer, FeedbackBody, FeedbackReport, itemsOf, whyNoLabel } from '../../contract/feedback.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { openReceipt } from '../../security/receipts.ts'
import { trafficOf } from '../../monitoring/traffic.ts'
import { v1RoutesOf } from './route.ts'
import type { FeedbackRefusal } from '../../contract/feedback.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Ground } from '../../ledger/scope.ts'
import type { Feedback, Labelled } from '../../monitoring/feedback.ts'
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
      const keys = await services.delivery.receiptKeys(scope.environment)
      const items = itemsOf(body)
      const labelled: Labelled[] = []
      const refused: FeedbackRefusal[] = []
      const nowMs = services.ground.clock.epochMs()
      for (const [index, item] of items.entries()) {
        const { id, label, time = nowMs, weight = 1 } = item
        try {
          const reason = whyNoLabel(item, nowMs)
          if (reason !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', reason)
          const receipt = openReceipt(id, (endpoint) => keys.get(endpoint))
          if (!caller.may('feedback', { environment: scope.environment, models: [receipt.model] }))
            throw new SlipwayError('SLW_FORBIDDEN', `you may not send feedback on the model "${receipt.model}"`)
          labelled.push({ receipt, label, atMs: time, weight })
        } catch (error) {
          refused.push({ index, message: messageOf(error) })
        }
      }
      if (items.length === 1 && refused.length === 1) throw new SlipwayError('SLW_INPUT_INVALID', refused[0]!.message)
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
      const versions = labels.map(({ variant, model, version, ...known }) => {
        const seen = traffic.find((one) => one.variant === variant && one.model === model && one.version === version)
        const predictions = Math.max(0, (seen?.requests ?? 0) - (seen?.errors ?? 0) - (seen?.refused ?? 0))
        const coverage = predictions === 0 ? undefined : Math.min(1, known.labels / predictions)
        return { variant, model, version, predictions, coverage, ...known }
      })
      const unlabelled = traffic.filter(
        (one) => !versions.some(({ variant, model, version }) => one.variant === variant && one.model === model && one.version === version),
      )
      const without = unlabelled.map(({ variant, model, version, requests, errors, refused }) => {
        const predictions = requests - errors - refused
        return { variant, model, version, predictions, coverage: predictions === 0 ? undefined : 0, labels: 0, right: 0, wrong: 0 }
      })
      return { body: { endpoint, versions: [...versions, ...without], from, until } }
    },
  }),
]
