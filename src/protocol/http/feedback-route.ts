import { check } from '../../contract/schema.ts'
import { FeedbackBody, isRight, itemsOf, whyNoLabel } from '../../contract/feedback.ts'
import { inputInvalid, messageOf, SlipwayError } from '../../core/errors.ts'
import { openReceipt } from '../../security/receipts.ts'
import { parseJson } from '../../tensor/json-reader.ts'
import { requireModel } from './access.ts'
import type { FeedbackAnswer, FeedbackItem, FeedbackRefusal } from '../../contract/feedback.ts'
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
      const items = itemsOf(checked.value)
      const taken: FeedbackItem[] = []
      const refused: FeedbackRefusal[] = []
      const counts: (() => void)[] = []
      for (const [index, item] of items.entries()) {
        try {
          const reason = whyNoLabel(item, nowMs)
          if (reason !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', reason)
          const receipt = openReceipt(item.id, (endpoint) => dataPlane.endpoints.get(endpoint)?.receiptKeys)
          const { endpoint, served: variant, model, version, segment } = receipt
          if (exchange.caller !== undefined) requireModel(exchange.caller, endpoint)
          const time = item.time ?? nowMs
          taken.push({ ...item, time })
          counts.push(() => {
            if (known.has(receipt.id)) return
            if (known.size >= REMEMBERED) known.clear()
            known.add(receipt.id)
            const subject = { endpoint, variant, model, version }
            const event = { subject, segment, right: isRight(receipt, item.label), delayMs: Math.max(0, time - receipt.timeMs) }
            dataPlane.observer.feedback(event)
          })
        } catch (error) {
          refused.push({ index, message: messageOf(error) })
        }
      }
      if (items.length === 1 && refused.length === 1) throw new SlipwayError('SLW_INPUT_INVALID', refused[0]!.message)
      if (taken.length > 0) await take?.(taken)
      for (const count of counts) count()
      const answer: FeedbackAnswer = { accepted: taken.length, refused }
      exchange.json(take === undefined ? 200 : 202, JSON.stringify(answer))
    },
  }
}
