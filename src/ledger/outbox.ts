import { randomUUID } from 'node:crypto'
import { firstCharacters } from '../core/text.ts'
import { lastNumber } from './counters.ts'
import { bodyOf, noticeOf } from './notices.ts'
import { toEvent } from './history.ts'
import type { Selectable } from 'kysely'
import type { WebhookFormat } from '../contract/registry-api.ts'
import type { WebhooksRow } from './tables.ts'
import type { Ground } from './scope.ts'
import type { Notice } from './notices.ts'
import type { RegistryEvent } from './history.ts'

/** A delivery that is due. */
export interface Parcel {
  readonly deliveryId: string
  readonly webhookId: string
  /** Reference to the secret that signs it. Undefined: not signed. */
  readonly secret: string | undefined
  readonly notice: Notice
}

/** A delivery is given up after this many attempts: with the pauses between them that is a day and a half. */
const ATTEMPTS_MAX = 10
const FIRST_PAUSE_MS = 5000
const LONGEST_PAUSE_MS = 12 * 3600 * 1000
const EVENTS_AT_ONCE = 200

/** The part of webhooks that only one process runs at a time. */
export class Outbox {
  readonly #ground: Ground

  /** @param ground whose transactions fail where another process has taken over */
  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** Whether there may be something to do; cheap, and asked often. */
  static async isWaiting({ database, clock }: Ground): Promise<boolean> {
    const { read } = database
    const rows = await read.selectFrom('counters').selectAll().where('name', 'in', ['event', 'webhook']).execute()
    const [event, webhook] = ['event', 'webhook'].map((name) => rows.find((row) => row.name === name)?.value ?? 0)
    if (event! > webhook! && (await read.selectFrom('webhooks').select('id').limit(1).executeTakeFirst()) !== undefined) return true
    const due = read.selectFrom('deliveries').select('id').where('state', '=', 'pending').where('next_attempt_at', '<=', clock.epochMs())
    return (await due.limit(1).executeTakeFirst()) !== undefined
  }

  /** Writes a delivery for each new event and each webhook that wants it, in one transaction. @returns whether there may be more */
  async fill(): Promise<boolean> {
    const { database, clock } = this.#ground
    return await database.write(async (write) => {
      const cursor = await lastNumber(write, 'webhook')
      const events = await write
        .selectFrom('events')
        .selectAll()
        .where('sequence', '>', cursor)
        .orderBy('sequence')
        .limit(EVENTS_AT_ONCE)
        .execute()
      if (events.length === 0) return false
      const webhooks = await write.selectFrom('webhooks').selectAll().where('status', '=', 'active').execute()
      const now = clock.epochMs()
      for (const row of events) {
        const event = toEvent(row)
        for (const webhook of webhooks.filter((candidate) => wants(candidate, event)))
          await write
            .insertInto('deliveries')
            .values({
              id: randomUUID(),
              webhook_id: webhook.id,
              sequence: event.sequence,
              body: JSON.stringify(bodyOf(event)),
              state: 'pending',
              attempts: 0,
              next_attempt_at: now,
              last_status: null,
              last_error: null,
              created_at: now,
              delivered_at: null,
            })
            .onConflict((conflict) => conflict.columns(['webhook_id', 'sequence']).doNothing())
            .execute()
      }
      await write
        .updateTable('counters')
        .set({ value: events.at(-1)!.sequence })
        .where('name', '=', 'webhook')
        .execute()
      return events.length === EVENTS_AT_ONCE
    })
  }

  /** Due deliveries, the oldest first. @param except webhooks that are skipped */
  async due(limit: number, except: ReadonlySet<string> = new Set()): Promise<Parcel[]> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const rows = await database.read
      .selectFrom('deliveries')
      .innerJoin('webhooks', 'webhooks.id', 'deliveries.webhook_id')
      .select(['deliveries.id', 'webhook_id', 'body', 'name', 'url', 'format', 'secret'])
      .where('state', '=', 'pending')
      .where('status', '=', 'active')
      .where('next_attempt_at', '<=', now)
      .$if(except.size > 0, (all) => all.where('webhook_id', 'not in', [...except]))
      .orderBy('next_attempt_at')
      .orderBy('sequence')
      .limit(limit)
      .execute()
    return rows.map(({ id, webhook_id: webhookId, body, name, url, format, secret }) => ({
      deliveryId: id,
      webhookId,
      secret: secret ?? undefined,
      notice: noticeOf({ deliveryId: id, webhook: name, url, format: format as WebhookFormat, body, now }),
    }))
  }

  /** Records the result of an attempt. */
  async note(deliveryId: string, result: { readonly status?: number | undefined; readonly error?: string | undefined }): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const delivered = result.status !== undefined && result.status >= 200 && result.status < 300
    await database.write(async (write) => {
      const row = await write.selectFrom('deliveries').select('attempts').where('id', '=', deliveryId).executeTakeFirst()
      if (row === undefined) return
      const attempts = row.attempts + 1
      const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 4 ** row.attempts)
      await write
        .updateTable('deliveries')
        .set({
          attempts,
          state: delivered ? 'delivered' : attempts >= ATTEMPTS_MAX ? 'failed' : 'pending',
          next_attempt_at: now + pauseMs,
          last_status: result.status ?? null,
          last_error: result.error === undefined ? null : firstCharacters(result.error, 1000),
          ...(delivered && { delivered_at: now }),
        })
        .where('id', '=', deliveryId)
        .execute()
    })
  }
}

function wants(webhook: Selectable<WebhooksRow>, event: RegistryEvent): boolean {
  if (webhook.environment !== event.environment || event.at < webhook.created_at) return false
  // Whoever is told is not told of those who are told, but of a test that is for them.
  if (event.kind === 'webhook') return event.action === 'tested' && (event.after as { id?: string } | undefined)?.id === webhook.id
  return (JSON.parse(webhook.events) as string[]).some(
    (wanted) => wanted === '*' || wanted === `${event.kind}.*` || wanted === `${event.kind}.${event.action}`,
  )
}
