import { Type } from 'typebox'
import { WebhookDeliveryAnswer, NewWebhookBody, WebhookAnswer, WebhookUpdateBody } from '../../contract/registry-api.ts'
import { secretReference } from '../../security/secrets/reference.ts'
import { requireEverywhere } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import type { Principal } from '../access.ts'
import type { Webhook } from '../../ledger/webhooks.ts'
import type { V1Route } from './route.ts'
import type { Webhooks } from '../../ledger/webhooks.ts'

/** Services that these routes use. */
export interface WebhookServices {
  readonly webhooks: Webhooks
}

const v1Route = v1RoutesOf<WebhookServices>()

const tag = 'webhooks'

function answerOf({ description, events, ...rest }: Webhook): WebhookAnswer {
  return { ...rest, events: [...events], ...(description !== undefined && { description }) }
}

/** A reference to a secret makes the control plane read it: for admins of every environment. @throws SLW_FORBIDDEN, SLW_CONFIG_INVALID */
function requireSecretPlace(caller: Principal, secret: string | null | undefined): void {
  if (secret === undefined || secret === null) return
  requireEverywhere(caller)
  secretReference('secret', secret)
}

export const WEBHOOK_ROUTES: readonly V1Route<WebhookServices>[] = [
  v1Route({
    method: 'GET',
    path: '/webhooks',
    operation: 'listWebhooks',
    summary: 'Who is told of changes',
    tag,
    action: 'read',
    answer: Type.Object({ items: Type.Array(WebhookAnswer), total: Type.Integer() }),
    handle: async ({ services, scope }) => {
      const items = (await services.webhooks.list(scope)).map(answerOf)
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/webhooks',
    operation: 'createWebhook',
    summary: 'Have somebody told of changes',
    tag,
    action: 'admin',
    body: NewWebhookBody,
    answer: WebhookAnswer,
    status: 201,
    handle: async ({ services, scope, body, caller }) => {
      requireSecretPlace(caller, body.secret)
      const webhook = await services.webhooks.create(scope, body)
      return { body: answerOf(webhook), status: 201, location: `/api/v1/webhooks/${webhook.id}` }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/webhooks/:id',
    operation: 'getWebhook',
    summary: 'Somebody who is told of changes',
    tag,
    action: 'read',
    answer: WebhookAnswer,
    handle: async ({ services, scope, params }) => ({ body: answerOf(await services.webhooks.get(scope, params['id']!)) }),
  }),
  v1Route({
    method: 'PATCH',
    path: '/webhooks/:id',
    operation: 'updateWebhook',
    summary: 'Change a webhook, or pause it',
    tag,
    action: 'admin',
    body: WebhookUpdateBody,
    answer: WebhookAnswer,
    handle: async ({ services, scope, params, body, caller }) => {
      requireSecretPlace(caller, body.secret)
      const id = params['id']!
      // Otherwise a caller who may not name the secret could have it sign deliveries to an address of their choice.
      if (body.url !== undefined && body.secret !== null && (await services.webhooks.get(scope, id)).signed) requireEverywhere(caller)
      return { body: answerOf(await services.webhooks.update(scope, id, body)) }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/webhooks/:id',
    operation: 'deleteWebhook',
    summary: 'Tell them no more; deliveries go too',
    tag,
    action: 'admin',
    handle: async ({ services, scope, params }) => {
      await services.webhooks.delete(scope, params['id']!)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: '/webhooks/:id/deliveries',
    operation: 'listDeliveries',
    summary: 'What was sent, or is to be, and what came of it; the newest first',
    tag,
    action: 'read',
    query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })) }, { additionalProperties: false }),
    answer: Type.Object({ items: Type.Array(WebhookDeliveryAnswer) }),
    handle: async ({ services, scope, params, query }) => ({
      body: { items: await services.webhooks.deliveries(scope, params['id']!, query.limit ?? 100) },
    }),
  }),
  v1Route({
    method: 'POST',
    path: '/webhooks/:id/deliveries/:delivery/redeliver',
    operation: 'redeliver',
    summary: 'Send it once more, under the same id',
    tag,
    action: 'admin',
    answer: WebhookDeliveryAnswer,
    handle: async ({ services, scope, params }) => ({ body: await services.webhooks.redeliver(scope, params['id']!, params['delivery']!) }),
  }),
]
