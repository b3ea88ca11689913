import { Type } from 'typebox'
import type { Static } from 'typebox'

const positive = (description: string) => Type.Optional(Type.Integer({ minimum: 1, description }))

/** Limits of one request, whatever protocol it comes over. */
export const REQUEST_LIMIT_SETTINGS = {
  rows: positive('Most rows of one request. Default: 100000.'),
  elements: positive('Most elements of one tensor. Default: 16777216.'),
  jsonNesting: positive('How deep JSON may nest. Default: 64.'),
}
const RequestLimitsOptions = Type.Object(REQUEST_LIMIT_SETTINGS)
export type RequestLimits = Required<Static<typeof RequestLimitsOptions>>

export const REQUEST_LIMIT_DEFAULTS: RequestLimits = { rows: 100_000, elements: 16 * 1024 * 1024, jsonNesting: 64 }
