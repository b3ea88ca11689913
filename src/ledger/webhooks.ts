import { lastNumber } from './counters.ts'
import { SlipwayError } from '../core/errors.ts'
import { countOf } from '../storage/sql/count-of.ts'
import { etagOf, requireSeen } from './etag.ts'
import { record } from './events.ts'
import { requireKey, requireLength } from './keys.ts'
import { requireReceiver, schemeOf, shownUrl } from './receivers.ts'
import type { Kysely, Selectable } from 'kysely'
import type { WebhookFormat } from '../contract/registry-api.ts'
import type { ReceiverLimits } from './receivers.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { DeliveriesRow, WebhooksRow } from './tables.ts'
import type { Ground, Scope, Write } from './scope.ts'

/** A receiver of notifications about changes. */
export interface Webhook {
  readonly id: string
  readonly etag: string
  readonly name: string
  /** Of a receiver in Slack's shape without its path, which is a secret. */
  readonly url: string
  readonly format: WebhookFormat
  readonly description: string | undefined
  /** `version.created`, `alias.*`, `*`. */
  readonly events: readonly string[]
  readonly active: boolean
  /** Whether deliveries are signed. */
  readonly signed: boolean
  readonly createdAt: number
  readonly updatedAt: number
}

export interface NewWebhook {
  readonly name: string
  /** `https://...`, `http://...`, `mailto:ADDRESS`, `sns:ARN` of a topic. */
  readonly url: string
  /** Default: what the address takes; `event` for http. */
  readonly format?: WebhookFormat | undefined
  readonly description?: string | undefined
  readonly events: readonly string[]
  /** Reference to the secret that signs deliveries. Default: not signed. */
  readonly secret?: string | undefined
}

export interface WebhookUpdate {
  /** New reference to the secret. Null: no longer signed. */
  readonly secret?: string | null | undefined
  readonly url?: string | undefined
  /** Default: the present one, where a new address takes it. */
  readonly format?: WebhookFormat | undefined
  readonly description?: string | undefined
  readonly events?: readonly string[] | undefined
  readonly active?: boolean | undefined
}

/** One event on its way to one webhook. */
export interface WebhookDelivery {
  readonly id: string
  readonly webhookId: string
  readonly sequence: number
  readonly state: 'pending' | 'delivered' | 'failed'
  readonly attempts: number
  readonly nextAttemptAt: number
  readonly lastStatus: number | undefined
  readonly lastError: string | undefined
  readonly body: unknown
  readonly createdAt: number
  readonly deliveredAt: number | undefined
}

/** Webhooks and their deliveries (docs/decisions/0009). */
export class Webhooks {
  readonly #ground: Ground
  readonly #limits: ReceiverLimits
  readonly #kinds: readonly string[]

  /** @param kinds the existing kinds of events */
  constructor(ground: Ground, { kinds, ...limits }: ReceiverLimits & { readonly kinds: readonly string[] }) {
    this.#ground = ground
    this.#limits = limits
    this.#kinds = kinds
  }

  async create(scope: Scope, { name, url, format: wanted, description, events, secret }: NewWebhook): Promise<Webhook> {
    requireKey('the name of a webhook', name)
    if (description !== undefined) requireLength('the description', description, 5000)
    const format = requireReceiver({ url, format: wanted, signed: secret !== undefined }, this.#limits)
    requireEvents(events, this.#kinds)
    const { database, clock, newId } = this.#ground
    const now = clock.epochMs()
    const row: Selectable<WebhooksRow> = {
      id: newId(),
      environment: scope.environment,
      name,
      url,
      format,
      description: description ?? null,
      events: JSON.stringify(events),
      secret: secret ?? null,
      status: 'active',
      created_at: now,
      updated_at: now,
    }
    await database.write(async (write) => {
      const others = await write.selectFrom('webhooks').select('id').limit(1).execute()
      // This is the first webhook: earlier events are not delivered.
      if (others.length === 0) await skipTo(write)
      await write.insertInto('webhooks').values(row).execute()
      await record(write, scope, now, { kind: 'webhook', name, action: 'created', after: { url: shownUrl(url, format), format, events } })
    })
    return toWebhook(row)
  }

  async list(scope: Scope): Promise<Webhook[]> {
    const rows = await this.#ground.database.read
      .selectFrom('webhooks')
      .selectAll()
      .where('environment', '=', scope.environment)
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    return rows.map(toWebhook)
  }

  /** @throws SLW_NOT_FOUND */
  async get(scope: Scope, id: string): Promise<Webhook> {
    return toWebhook(await requireWebhook(this.#ground.database.read, scope, id))
  }

  async update(scope: Scope, id: string, update: WebhookUpdate): Promise<Webhook> {
    const { description, events, active, secret } = update
    if (events !== undefined) requireEvents(events, this.#kinds)
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const row = await requireWebhook(write, scope, id)
      requireSeen(scope, `webhook "${row.name}"`, etagOf(row))
      const { url, format } = this.#receiverAfter(row, update)
      const set = {
        url,
        format,
        ...(description !== undefined && { description }),
        ...(events !== undefined && { events: JSON.stringify(events) }),
        ...(active !== undefined && { status: active ? 'active' : 'paused' }),
        ...(secret !== undefined && { secret }),
        updated_at: now,
      }
      await write.updateTable('webhooks').set(set).where('id', '=', id).execute()
      await record(write, scope, now, {
        kind: 'webhook',
        name: row.name,
        action: 'updated',
        before: { url: shownUrl(row.url, row.format) },
        after: { url: shownUrl(url, format), format, events, active, ...(secret !== undefined && { signed: secret !== null }) },
      })
    })
    return await this.get(scope, id)
  }

  /** Where a webhook goes, and how, once it is changed. Neither is looked at again where neither is touched. */
  #receiverAfter(row: Selectable<WebhooksRow>, { url, format, secret }: WebhookUpdate): Pick<WebhooksRow, 'url' | 'format'> {
    if (url === undefined && format === undefined && (secret === undefined || secret === null)) return row
    const signed = secret === undefined ? row.secret !== null : secret !== null
    const wanted = format ?? (url !== undefined && schemeOf(url) !== schemeOf(row.url) ? undefined : (row.format as WebhookFormat))
    const to = url ?? row.url
    return { url: to, format: requireReceiver({ url: to, format: wanted, signed }, this.#limits) }
  }

  /**
   * Has the outbox tell the webhook of a test, whatever else it wants to be told of.
   * @returns when it was asked for, which is the time of the event. @throws SLW_NOT_FOUND; SLW_CONFLICT where it is paused
   */
  async test(scope: Scope, id: string): Promise<{ readonly at: number }> {
    const { database, clock } = this.#ground
    const at = clock.epochMs()
    await database.write(async (write) => {
      const { name, status } = await requireWebhook(write, scope, id)
      if (status !== 'active')
        throw new SlipwayError('SLW_CONFLICT', `webhook "${name}" is paused, so nothing is sent; make it active first ({"active": true})`)
      await record(write, scope, at, { kind: 'webhook', name, action: 'tested', after: { id } })
    })
    return { at }
  }

  async delete(scope: Scope, id: string): Promise<void> {
    const { database, clock } = this.#ground
    await database.write(async (write) => {
      const row = await requireWebhook(write, scope, id)
      requireSeen(scope, `webhook "${row.name}"`, etagOf(row))
      await write.deleteFrom('webhooks').where('id', '=', id).execute()
      await record(write, scope, clock.epochMs(), {
        kind: 'webhook',
        name: row.name,
        action: 'deleted',
        before: { url: shownUrl(row.url, row.format) },
      })
    })
  }

  /** Deliveries of a webhook, the newest first, and how many there are in all. @param page.before number of the last event of the page before */
  async deliveries(
    scope: Scope,
    id: string,
    { limit, before }: { readonly limit: number; readonly before?: number | undefined },
  ): Promise<{ deliveries: WebhookDelivery[]; total: number }> {
    const { read } = this.#ground.database
    await requireWebhook(read, scope, id)
    const all = read.selectFrom('deliveries').where('webhook_id', '=', id)
    const rows = await all
      .selectAll()
      .$if(before !== undefined, (some) => some.where('sequence', '<', before!))
      .orderBy('sequence', 'desc')
      .limit(limit)
      .execute()
    return { deliveries: rows.map(toDelivery), total: await countOf(all) }
  }

  /** Sends a delivery once more, under the same id, so that the receiver recognises it. */
  async redeliver(scope: Scope, id: string, deliveryId: string): Promise<WebhookDelivery> {
    const { database, clock } = this.#ground
    return await database.write(async (write) => {
      await requireWebhook(write, scope, id)
      const row = await write
        .updateTable('deliveries')
        .set({ state: 'pending', attempts: 0, next_attempt_at: clock.epochMs() })
        .where('id', '=', deliveryId)
        .where('webhook_id', '=', id)
        .returningAll()
        .executeTakeFirst()
      if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `the webhook has no delivery ${deliveryId}`)
      return toDelivery(row)
    })
  }
}

async function skipTo(write: Write): Promise<void> {
  const value = await lastNumber(write, 'event')
  await write.updateTable('counters').set({ value }).where('name', '=', 'webhook').execute()
}

async function requireWebhook(read: Kysely<Schema>, scope: Scope, id: string): Promise<Selectable<WebhooksRow>> {
  const row = await read
    .selectFrom('webhooks')
    .selectAll()
    .where('id', '=', id)
    .where('environment', '=', scope.environment)
    .executeTakeFirst()
  if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no webhook has the id ${id}`)
  return row
}

/** @throws SLW_INPUT_INVALID */
function requireEvents(events: readonly string[], kinds: readonly string[]): void {
  if (events.length === 0 || events.length > 100)
    throw new SlipwayError('SLW_INPUT_INVALID', `a webhook wants 1 to 100 events, not ${events.length}`)
  for (const event of events) {
    const [kind, action, ...rest] = event.split('.')
    if (event === '*' || (kinds.includes(kind ?? '') && rest.length === 0 && /^(\*|[a-z_]+)$/.test(action ?? ''))) continue
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `${JSON.stringify(event)} is no kind of event; expected * or KIND.ACTION, such as version.created or alias.*, with a kind of ${kinds.join(', ')}`,
    )
  }
}

function toWebhook(row: Selectable<WebhooksRow>): Webhook {
  return {
    id: row.id,
    etag: etagOf(row),
    name: row.name,
    url: shownUrl(row.url, row.format),
    format: row.format as WebhookFormat,
    description: row.description ?? undefined,
    events: JSON.parse(row.events) as string[],
    active: row.status === 'active',
    signed: row.secret !== null,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

function toDelivery(row: Selectable<DeliveriesRow>): WebhookDelivery {
  return {
    id: row.id,
    webhookId: row.webhook_id,
    sequence: row.sequence,
    state: row.state as WebhookDelivery['state'],
    attempts: row.attempts,
    nextAttemptAt: row.next_attempt_at,
    lastStatus: row.last_status ?? undefined,
    lastError: row.last_error ?? undefined,
    body: JSON.parse(row.body) as unknown,
    createdAt: row.created_at,
    deliveredAt: row.delivered_at ?? undefined,
  }
}
