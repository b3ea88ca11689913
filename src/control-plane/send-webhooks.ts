import { messageOf } from '../core/errors.ts'
import { Outbox } from '../registry/webhooks.ts'
import { askOutside } from '../security/outside-request.ts'
import { slipwayVersion } from '../core/version.ts'
import { underLease } from './under-lease.ts'
import type { Logger } from '../core/log.ts'
import type { Ground } from '../registry/ground.ts'
import type { Secrets } from '../security/secrets/secrets.ts'
import type { Parcel } from '../registry/webhooks.ts'

export interface SendOptions {
  readonly ground: Ground
  readonly holder: string
  readonly log: Logger
  /** Whether addresses of this machine and its network may be told. */
  readonly allowInside: boolean
  readonly secrets: Secrets
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
export async function sendWebhooks({ ground, holder, log, allowInside, secrets }: SendOptions): Promise<void> {
  if (!(await Outbox.isWaiting(ground))) return
  await underLease({ database: ground.database, holder, name: 'webhooks', log }, async (fenced) => {
    const outbox = new Outbox(ground, fenced)
    while (await outbox.fill());
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const parcels = await outbox.due(AT_ONCE)
      if (parcels.length === 0) return
      await Promise.all(
        parcels.map(async (parcel) => {
          const result = await send(parcel, allowInside, secrets).then(
            (status) => ({ status, ...((status < 200 || status > 299) && { error: `answered ${status}` }) }),
            (error: unknown) => ({ error: messageOf(error) }),
          )
          await outbox.note(parcel.deliveryId, result)
        }),
      )
    }
  })
}

/** @returns the status */
async function send({ url, body, secret, headers }: Parcel, allowInside: boolean, secrets: Secrets): Promise<number> {
  // Looked up for each attempt: what is rotated is used from then on.
  const key = secret === undefined ? undefined : await secrets.secret('the secret of a webhook', secret).value()
  const named = { ...headers(key), 'user-agent': `slipway/${slipwayVersion()}` }
  const response = await askOutside(url, { method: 'POST', headers: named, body, timeoutMs: TIMEOUT_MS, allowInside })
  response.on('error', () => {})
  // What it says is nothing to us.
  response.destroy()
  return response.statusCode ?? 0
}
