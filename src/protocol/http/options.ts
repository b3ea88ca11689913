import { Type } from 'typebox'
import type { Static } from 'typebox'

const positive = (description: string, minimum = 1) => Type.Optional(Type.Integer({ minimum, description }))

/** Limits of the HTTP server: what one client may take. */
export const HTTP_LIMIT_SETTINGS = {
  bodyBytes: positive('Largest request body. Default: 67108864 (64 MiB).'),
  discardBytes: positive(
    'How much of a refused body is read and thrown away, so that the client can read the answer, before the connection is closed. Default: 67108864 (64 MiB).',
    0,
  ),
  headerBytes: positive('Largest request header. Default: 16384.'),
  bodyTimeoutMs: positive('How long a client may take to send a request. Default: 30000.'),
  keepAliveMs: positive('How long an idle connection is kept. Default: 75000.'),
  stallMs: positive('How long a connection may neither read nor write. Default: 120000.'),
  connections: positive('Most open connections; more are closed at once. Default: 20000.'),
}
const HttpLimitsOptions = Type.Object(HTTP_LIMIT_SETTINGS)

export type HttpLimits = Required<Static<typeof HttpLimitsOptions>>

export const HTTP_LIMIT_DEFAULTS: HttpLimits = {
  bodyBytes: 64 * 1024 * 1024,
  discardBytes: 64 * 1024 * 1024,
  headerBytes: 16 * 1024,
  bodyTimeoutMs: 30_000,
  keepAliveMs: 75_000,
  stallMs: 120_000,
  connections: 20_000,
}
