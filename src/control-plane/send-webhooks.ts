import { messageOf } from '../core/errors.ts'
import { Outbox } from '../ledger/outbox.ts'
import { askOutside } from '../security/outside-request.ts'
import { sendMail } from './send-mail.ts'
import { publish } from './send-topic.ts'
import { slipwayVersion } from '../core/version.ts'
import type { Ground } from '../ledger/scope.ts'
import type { Secrets } from '../security/secrets/secrets.ts'
import type { Parcel } from '../ledger/outbox.ts'
import type { MailServer } from './send-mail.ts'
import type { WorkKind } from '../storage/work/worker.ts'

export interface SendOptions {
  readonly ground: Ground
  /** Whether webhooks may be sent to addresses of this machine and its network. */
  readonly allowInside: boolean
  readonly secrets: Secrets
  /** Undefined: mail waits until there is one. */
  readonly mail: MailServer | undefined
}

/** Interval of looking for due deliveries. */
const SEND_EVERY_MS = 1000
const TIMEOUT_MS = 30_000
const AT_ONCE = 100
const ROUNDS_MAX = 100

/**
 * Sends due deliveries. A process that stood still for longer than its claim may repeat deliveries of another process: receivers
 * recognise a delivery by its id.
 */
export function webhookWork(options: SendOptions): WorkKind {
  return {
    kind: 'webhooks',
    standing: { key: 'webhooks', schedule: { everyMs: SEND_EVERY_MS }, dueInMs: 0 },
    isWanted: () => Outbox.isWaiting(options.ground),
    run: ({ database }, signal) => sendAll({ ...options, ground: { ...options.ground, database } }, signal),
  }
}

async function sendAll(options: SendOptions, signal: AbortSignal): Promise<void> {
  const outbox = new Outbox(options.ground)
  while (await outbox.fill());
  /** Webhooks with a failed delivery: the others must not wait for them again. */
  const failing = new Set<string>()
  for (let round = 0; round < ROUNDS_MAX && !signal.aborted; round++) {
    const parcels = await outbox.due(AT_ONCE, failing)
    if (parcels.length === 0) return
    const byWebhook = Map.groupBy(parcels, ({ webhookId }) => webhookId)
    const chains = [...byWebhook].map(async ([webhook, some]) => {
      if (!(await sendInOrder(some, outbox, { ...options, signal }))) failing.add(webhook)
    })
    for (const chain of await Promise.allSettled(chains)) if (chain.status === 'rejected') throw chain.reason
  }
}

/** Sends the deliveries of one webhook in the order of their events. @returns whether all were accepted */
async function sendInOrder(parcels: readonly Parcel[], outbox: Outbox, options: SendOptions & { signal: AbortSignal }): Promise<boolean> {
  for (const parcel of parcels) {
    options.signal.throwIfAborted()
    const result: { status?: number; error?: string } = await send(parcel, options).then(
      (status) => ({ status, ...((status < 200 || status > 299) && { error: `answered ${status}` }) }),
      (error: unknown) => ({ ...statusIn(error), error: messageOf(error) }),
    )
    // A request that was aborted here is no failure of the receiver.
    options.signal.throwIfAborted()
    await outbox.note(parcel.deliveryId, result)
    if (result.error !== undefined) return false
  }
  return true
}

/** The status of whoever has refused it, where an error has one. */
function statusIn(error: unknown): { readonly status?: number } {
  const { responseCode: status } = error as { responseCode?: unknown }
  return typeof status === 'number' && status >= 300 ? { status } : {}
}

/** @returns the status of the answer, of mail the code of its server */
async function send(parcel: Parcel, options: SendOptions & { signal: AbortSignal }): Promise<number> {
  const { notice } = parcel
  const { mail, signal } = options
  if (notice.kind === 'http') return await post(notice, parcel.secret, options)
  if (notice.kind === 'topic') return await publish(notice, signal)
  if (mail === undefined) throw new Error('this control plane has no server that takes mail; start it with --smtp-url and --smtp-from')
  return await sendMail(mail, notice, signal)
}

async function post(
  { url, body, headers }: Extract<Parcel['notice'], { kind: 'http' }>,
  secret: string | undefined,
  { allowInside, secrets, signal }: SendOptions & { signal: AbortSignal },
): Promise<number> {
  // Looked up for each attempt, so that a rotated secret is used from then on.
  const key = secret === undefined ? undefined : await secrets.secret('the secret of a webhook', secret).value()
  const named = { ...headers(key), 'user-agent': `slipway/${slipwayVersion()}` }
  const response = await askOutside(url, { method: 'POST', headers: named, body, timeoutMs: TIMEOUT_MS, allowInside, signal })
  response.on('error', () => {})
  // The body of the answer is not needed.
  response.destroy()
  return response.statusCode ?? 0
}
