import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { messageOf } from '../core/errors.ts'
import { Outbox } from '../registry/webhooks.ts'
import { lookupOutside, requireOutsideUrl } from '../security/outside-address.ts'
import { slipwayVersion } from '../core/version.ts'
import { underLease } from './under-lease.ts'
import type { Logger } from '../core/log.ts'
import type { Ground } from '../registry/ground.ts'
import type { Parcel } from '../registry/webhooks.ts'

export interface SendOptions {
  readonly ground: Ground
  readonly holder: string
  readonly log: Logger
  /** Whether addresses of this machine and its network may be told. */
  readonly allowInside: boolean
}

/** How often it is looked whether there is something to send. */
export const SEND_EVERY_MS = 1000
const TIMEOUT_MS = 30_000
const AT_ONCE = 10
const ROUNDS_MAX = 100

/**
 * Sends what is due, in one of the control planes of a database at a time. One that was paused for longer than its lease may send what
 * another has sent: receivers know a delivery by its id.
 */
export async function sendWebhooks({ ground, holder, log, allowInside }: SendOptions): Promise<void> {
  if (!(await Outbox.isWaiting(ground))) return
  await underLease({ database: ground.database, holder, name: 'webhooks', log }, async (fenced) => {
    const outbox = new Outbox(ground, fenced)
    while (await outbox.fill());
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const parcels = await outbox.due(AT_ONCE)
      if (parcels.length === 0) return
      await Promise.all(
        parcels.map(async (parcel) => {
          const result = await send(parcel, allowInside).then(
            (status) => ({ status, ...((status < 200 || status > 299) && { error: `answered ${status}` }) }),
            (error: unknown) => ({ error: messageOf(error) }),
          )
          await outbox.note(parcel.deliveryId, result)
        }),
      )
    }
  })
}

/** @returns the status; a redirection is an answer like another, and is not followed */
async function send({ url: text, body, headers }: Parcel, allowInside: boolean): Promise<number> {
  const url = requireOutsideUrl(text, allowInside)
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method: 'POST',
      headers: { ...headers, 'content-length': Buffer.byteLength(body), 'user-agent': `slipway/${slipwayVersion()}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      // No connection is kept: the next one is to be looked up, and checked, anew.
      agent: false,
      ...(!allowInside && { lookup: lookupOutside }),
    })
    outgoing.once('error', reject)
    outgoing.once('response', (response) => {
      resolve(response.statusCode ?? 0)
      response.on('error', () => {})
      // What it says is nothing to us.
      response.destroy()
    })
    outgoing.end(body)
  })
}
