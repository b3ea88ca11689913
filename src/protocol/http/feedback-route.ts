import { check } from '../../contract/schema.ts'
import { FeedbackBody, isRight, itemsOf } from '../../contract/feedback.ts'
import { inputInvalid } from '../../core/errors.ts'
import { openFeedback } from '../../security/receipts.ts'
import { parseJson } from '../../tensor/json-reader.ts'
import { requireModel } from './access.ts'
import type { FeedbackAnswer, FeedbackItem } from '../../contract/feedback.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { Route } from './routes.ts'

/** Keeps labels whose receipts have been checked; resolves once they cannot be lost. */
export type TakeFeedback = (items: readonly FeedbackItem[]) => Promise<void>

/** Predictions whose labels are remembered, so that one that comes again is not counted again here. */
const REMEMBERED = 100_000

/**
 * Takes the true outcomes of predictions, of this server or of another one of the same endpoint.
 * @param take undefined where the server follows no control plane: labels are then counted in its metrics alone
 */
export function feedbackRoute(dataPlane: DataPlane, take: TakeFeedback | undefined, nesting: number): Route {
  const known = new Set<string>()
  return {
    method: 'POST',
    path: '/feedback',
    access: 'feedback',
    async handle(exchange) {
      const checked = check(FeedbackBody, parseJson(await exchange.readBody(), { nesting }))
      if ('issues' in checked) throw inputInvalid(checked.issues)
      const nowMs = dataPlane.clock.epochMs()
      const { opened, refused } = openFeedback(itemsOf(checked.value), {
        nowMs,
        keysOf: (endpoint) => dataPlane.endpoints.get(endpoint)?.receiptKeys,
        permit: ({ endpoint }) => requireModel(exchange.caller, endpoint),
      })
      const taken = opened.map(({ item }) => ({ ...item, time: item.time ?? nowMs }))
      if (taken.length > 0) await take?.(taken)
      for (const { item, receipt } of opened) {
        if (known.has(receipt.id)) continue
        if (known.size >= REMEMBERED) known.clear()
        known.add(receipt.id)
        const { endpoint, served: variant, model, version, segment, timeMs } = receipt
        const subject = { endpoint, variant, model, version }
        const delayMs = Math.max(0, (item.time ?? nowMs) - timeMs)
        dataPlane.observer.feedback({ subject, segment, right: isRight(receipt, item.label), delayMs })
      }
      const answer: FeedbackAnswer = { accepted: taken.length, refused }
      exchange.json(take === undefined ? 200 : 202, JSON.stringify(answer))
    },
  }
}
