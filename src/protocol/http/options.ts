import { Type } from 'typebox'
import type { Static } from 'typebox'

const positive = (description: string, minimum = 1) => Type.Optional(Type.Integer({ minimum, description }))

/** Limits of the HTTP server: what one client may take. */
export const HttpLimitsOptions = Type.Object(
  {
    bodyBytes: positive('Largest request body. Default: 67108864 (64 MiB).'),
    discardBytes: positive(
      'How much of a refused body is read and thrown away, so that the client can read the answer, before the connection is closed. Default: 67108864 (64 MiB).',
      0,
    ),
    rows: positive('Most rows of one request. Default: 100000.'),
    elements: positive('Most elements of one tensor. Default: 16777216.'),
    jsonNesting: positive('How deep JSON may nest. Default: 64.'),
    headerBytes: positive('Largest request header. Default: 16384.'),
    bodyTimeoutMs: positive('How long a client may take to send a request. Default: 30000.'),
    keepAliveMs: positive('How long an idle connection is kept. Default: 75000.'),
    stallMs: positive('How long a connection may neither read nor write. Default: 120000.'),
    connections: positive('Most open connections; more are closed at once. Default: 20000.'),
  },
  { additionalProperties: false, description: 'Limits of the HTTP server.' },
)
export type HttpLimitsOptions = Static<typeof HttpLimitsOptions>

export type HttpLimits = Required<HttpLimitsOptions>

export const HTTP_LIMIT_DEFAULTS: HttpLimits = {
  bodyBytes: 64 * 1024 * 1024,
  discardBytes: 64 * 1024 * 1024,
  rows: 100_000,
  elements: 16 * 1024 * 1024,
  jsonNesting: 64,
  headerBytes: 16 * 1024,
  bodyTimeoutMs: 30_000,
  keepAliveMs: 75_000,
  stallMs: 120_000,
  connections: 20_000,
}
