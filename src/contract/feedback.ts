/** True outcomes that clients send once they are known, for predictions that they name by their receipts. */
import { Type } from 'typebox'

import { RECEIPT_MAX } from './receipt.ts'
import { Time } from './schema.ts'
import type { Static } from 'typebox'
import type { Receipt } from './receipt.ts'

/** Labels of one call. */
export const FEEDBACK_MAX = 10_000

export const Label = Type.Union([Type.String({ maxLength: 1000 }), Type.Number(), Type.Boolean()], {
  description: 'What was true: the class, or the number.',
})
export type Label = Static<typeof Label>

export const FeedbackItem = Type.Object(
  {
    id: Type.String({ minLength: 1, maxLength: RECEIPT_MAX, description: 'What the answer had as slipway-prediction-id, whole.' }),
    label: Label,
    time: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 8_640_000_000_000_000,
        description: 'When it was known, UTC epoch milliseconds, a day from now at most. Default: when it arrives.',
      }),
    ),
    weight: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1e9, description: 'What it counts for in reports. Default: 1.' })),
  },
  { additionalProperties: false },
)
export type FeedbackItem = Static<typeof FeedbackItem>

export const FeedbackBody = Type.Union([
  FeedbackItem,
  Type.Object({ feedback: Type.Array(FeedbackItem, { minItems: 1, maxItems: FEEDBACK_MAX }) }, { additionalProperties: false }),
])
export type FeedbackBody = Static<typeof FeedbackBody>

export const FeedbackRefusal = Type.Object({ index: Type.Integer({ description: 'In the list that was sent.' }), message: Type.String() })
export type FeedbackRefusal = Static<typeof FeedbackRefusal>

export const FeedbackAnswer = Type.Object({
  accepted: Type.Integer({ description: 'Labels that are kept; the same one again is accepted, and changes nothing.' }),
  refused: Type.Array(FeedbackRefusal, {
    description: 'Labels of receipts that nobody here has signed. The others are kept all the same.',
  }),
})
export type FeedbackAnswer = Static<typeof FeedbackAnswer>

/** Clocks of those who label may be wrong by so much. */
const AHEAD_MS = 24 * 3_600_000

/** Why a label is not taken; undefined where it is. */
export function whyNoLabel({ time = 0 }: FeedbackItem, nowMs: number): string | undefined {
  return time > nowMs + AHEAD_MS ? `time: ${new Date(time).toISOString()} is more than a day ahead` : undefined
}

/** The items of a body. */
export function itemsOf(body: FeedbackBody): readonly FeedbackItem[] {
  return 'feedback' in body ? body.feedback : [body]
}

/**
 * Whether a prediction was right: the same class, as a text, since clients send `1` and `"1"` alike. Undefined where the receipt has no
 * prediction, and for numbers, which are right more or less.
 */
export function isRight({ predicted, numeric }: Pick<Receipt, 'predicted' | 'numeric'>, label: Label): boolean | undefined {
  return predicted === undefined || numeric ? undefined : String(predicted) === String(label)
}

export const FeedbackReport = Type.Object({
  endpoint: Type.String(),
  versions: Type.Array(
    Type.Object({
      variant: Type.String(),
      model: Type.String(),
      version: Type.String(),
      predictions: Type.Integer({ description: 'Requests that were answered.' }),
      labels: Type.Integer(),
      coverage: Type.Optional(Type.Number({ description: 'Labels of the predictions, from 0 to 1. Missing: there were no predictions.' })),
      right: Type.Integer({ description: 'Of classes, by the latest label.' }),
      wrong: Type.Integer(),
      accuracy: Type.Optional(Type.Number({ description: 'By weight, of classes. Missing: there were none.' })),
      meanAbsoluteError: Type.Optional(Type.Number({ description: 'By weight, of numbers. Missing: there were none.' })),
      delayP50Ms: Type.Optional(Type.Number({ description: 'From a prediction to its first label.' })),
      delayP90Ms: Type.Optional(Type.Number()),
    }),
  ),
  from: Time('Of the predictions.'),
  until: Time('Of the predictions.'),
})
export type FeedbackReport = Static<typeof FeedbackReport>
