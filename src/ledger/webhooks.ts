import { firstCharacters } from '../core/text.ts'
import { lastNumber } from './counters.ts'
import { createHmac, randomUUID } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { countOf } from '../storage/sql/count-of.ts'
import { requireOutsideUrl } from '../security/outside-address.ts'
import { etagOf, requireSeen } from './etag.ts'
import { record } from './events.ts'
import { tagRecord } from './tags.ts'
import { toEvent } from './history.ts'
import { requireKey, requireLength } from './keys.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { DeliveriesRow, WebhooksRow } from './tables.ts'
import type { Ground, Scope, Write } from './scope.ts'
import type { Tag } from './tags.ts'
import type { RegistryEvent } from './history.ts'

/** A receiver of notifications about changes. */
export interface Webhook {
  readonly id: string
  readonly etag: string
  readonly name: string
  readonly url: string
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
  readonly url: string
  readonly description?: string | undefined
  readonly events: readonly string[]
  /** Reference to the secret that signs deliveries. Default: not signed. */
  readonly secret?: string | undefined
}

export interface WebhookUpdate {
  /** New reference to the secret. Null: no longer signed. */
  readonly secret?: string | null | undefined
  readonly url?: string | undefined
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

/** A delivery is given up after this many attempts: with the pauses between them that is a day and a half. */
const ATTEMPTS_MAX = 10
const FIRST_PAUSE_MS = 5000
const LONGEST_PAUSE_MS = 12 * 3600 * 1000
const EVENTS_AT_ONCE = 200

/** Webhooks and their deliveries (docs/decisions/0009). */
export class Webhooks {
  readonly #ground: Ground
  readonly #allowInside: boolean
  readonly #kinds: readonly string[]

  /**
   * @param allowInside whether addresses of this machine and its network are allowed
   * @param kinds the existing kinds of events
   */
  constructor(ground: Ground, { allowInside, kinds }: { readonly allowInside: boolean; readonly kinds: readonly string[] }) {
    this.#ground = ground
    this.#allowInside = allowInside
    this.#kinds = kinds
  }

  async create(scope: Scope, { name, url, description, events, secret }: NewWebhook): Promise<Webhook> {
    requireKey('the name of a webhook', name)
    if (description !== undefined) requireLength('the description', description, 5000)
    requireOutsideUrl(url, this.#allowInside)
    requireEvents(events, this.#kinds)
    const { database, clock, newId } = this.#ground
    const now = clock.epochMs()
    const row: Selectable<WebhooksRow> = {
      id: newId(),
      environment: scope.environment,
      name,
      url,
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
      await record(write, scope, now, { kind: 'webhook', name, action: 'created', after: { url, events } })
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

  async update(scope: Scope, id: string, { url, description, events, active, secret }: WebhookUpdate): Promise<Webhook> {
    if (url !== undefined) requireOutsideUrl(url, this.#allowInside)
    if (events !== undefined) requireEvents(events, this.#kinds)
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const row = await requireWebhook(write, scope, id)
      requireSeen(scope, `webhook "${row.name}"`, etagOf(row))
      const set = {
        ...(url !== undefined && { url }),
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
        before: { url: row.url },
        after: { url, events, active, ...(secret !== undefined && { signed: secret !== null }) },
      })
    })
    return await this.get(scope, id)
  }

  async delete(scope: Scope, id: string): Promise<void> {
    const { database, clock } = this.#ground
    await database.write(async (write) => {
      const row = await requireWebhook(write, scope, id)
      requireSeen(scope, `webhook "${row.name}"`, etagOf(row))
      await write.deleteFrom('webhooks').where('id', '=', id).execute()
      await record(write, scope, clock.epochMs(), { kind: 'webhook', name: row.name, action: 'deleted', before: { url: row.url } })
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

/** A delivery that is due. */
export interface Parcel {
  readonly deliveryId: string
  readonly webhookId: string
  readonly url: string
  readonly body: string
  /** Reference to the secret that signs it. Undefined: not signed. */
  readonly secret: string | undefined
  /** @param key the secret that signs it */
  readonly headers: (key: string | undefined) => Readonly<Record<string, string>>
}

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
      .select(['deliveries.id', 'webhook_id', 'body', 'url', 'secret'])
      .where('state', '=', 'pending')
      .where('status', '=', 'active')
      .where('next_attempt_at', '<=', now)
      .$if(except.size > 0, (all) => all.where('webhook_id', 'not in', [...except]))
      .orderBy('next_attempt_at')
      .orderBy('sequence')
      .limit(limit)
      .execute()
    return rows.map(({ id, webhook_id: webhookId, body, url, secret }) => ({
      deliveryId: id,
      webhookId,
      url,
      body,
      secret: secret ?? undefined,
      headers: (key) => headersOf(id, Math.floor(now / 1000), body, key),
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
    if (event === '*' || (kinds.includes(kind ?? '') && rest.length === 0 && /^(\*|[a-z]+)$/.test(action ?? ''))) continue
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `${JSON.stringify(event)} is no kind of event; expected * or KIND.ACTION, such as version.created or alias.*, with a kind of ${kinds.join(', ')}`,
    )
  }
}

function wants(webhook: Selectable<WebhooksRow>, event: RegistryEvent): boolean {
  if (webhook.environment !== event.environment || event.at < webhook.created_at || event.kind === 'webhook') return false
  return (JSON.parse(webhook.events) as string[]).some(
    (wanted) => wanted === '*' || wanted === `${event.kind}.*` || wanted === `${event.kind}.${event.action}`,
  )
}

/** MLflow's names of entities (mlflow/entities/webhook.py, 3.3). */
const ENTITIES: Partial<Readonly<Record<RegistryEvent['kind'], string>>> = {
  model: 'registered_model',
  version: 'model_version',
  alias: 'model_version_alias',
}

/** The body in MLflow's shape, with the full event as `slipway`. */
function bodyOf(event: RegistryEvent): object {
  const after = (event.after ?? {}) as Record<string, unknown>
  const [model = '', rest] = event.name.split(event.kind === 'alias' ? '@' : '/')
  const tag = after['tag'] as Tag | undefined
  const tagged = event.kind === 'version' && tag !== undefined
  return {
    entity: tagged ? 'model_version_tag' : (ENTITIES[event.kind] ?? event.kind),
    action: event.action,
    timestamp: new Date(event.at).toISOString(),
    data: {
      name: model,
      ...(event.kind === 'version' && { version: rest }),
      ...(event.kind === 'alias' && { alias: rest, ...(after['version'] !== undefined && { version: String(after['version']) }) }),
      ...(tagged && tag),
      ...(event.kind === 'version' &&
        event.action === 'created' && {
          source: after['source'],
          run_id: after['runId'],
          tags: tagRecord((after['tags'] ?? []) as readonly Tag[]),
          description: after['description'],
        }),
    },
    slipway: { ...event },
  }
}

/** Signed as MLflow does: HMAC-SHA256 over id, time and body; with a key by which the receiver recognises duplicates. */
function headersOf(id: string, timestamp: number, body: string, secret: string | undefined): Record<string, string> {
  const signature = secret === undefined ? undefined : createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')
  return {
    'content-type': 'application/json',
    'idempotency-key': id,
    'x-mlflow-delivery-id': id,
    'x-mlflow-timestamp': String(timestamp),
    ...(signature !== undefined && { 'x-mlflow-signature': `v1,${signature}` }),
  }
}

function toWebhook(row: Selectable<WebhooksRow>): Webhook {
  return {
    id: row.id,
    etag: etagOf(row),
    name: row.name,
    url: row.url,
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
