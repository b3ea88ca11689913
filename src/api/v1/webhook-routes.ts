import { Type } from 'typebox'
import {
  NewWebhookBody,
  pageOfThings,
  PageQuery,
  WebhookAnswer,
  WebhookDeliveryAnswer,
  WebhookTestAnswer,
  WebhookUpdateBody,
} from '../../contract/registry-api.ts'
import { schemeOf } from '../../ledger/receivers.ts'
import { secretReference } from '../../security/secrets/reference.ts'
import { requireEverywhere } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import { seenFields } from './seen.ts'
import { byCreation, PAGE_LIMIT, pageOfAll, pageOfRead, placeOfToken } from './page-token.ts'
import type { Principal } from '../access.ts'
import type { Webhook } from '../../ledger/webhooks.ts'
import type { V1Answer, V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Webhooks } from '../../ledger/webhooks.ts'

/** Services that these routes use. */
export interface WebhookServices {
  readonly webhooks: Webhooks
}

const v1Route = v1RoutesOf<WebhookServices>()

const tag = 'webhooks'

function answered(webhook: Webhook): V1Answer<WebhookAnswer> {
  return { body: answerOf(webhook), etag: webhook.etag }
}

function answerOf({ description, events, ...rest }: Webhook): WebhookAnswer {
  return { ...rest, events: [...events], ...(description !== undefined && { description }) }
}

/** A reference to a secret makes the control plane read it: for admins of every environment. @throws SLW_FORBIDDEN, SLW_CONFIG_INVALID */
function requireSecretPlace(caller: Principal, secret: string | null | undefined): void {
  if (secret === undefined || secret === null) return
  requireEverywhere(caller)
  secretReference('secret', secret)
}

/** A topic is told with the credentials of the control plane: for admins of every environment. @throws SLW_FORBIDDEN */
function requireTopicPlace(caller: Principal, url: string | undefined): void {
  if (url !== undefined && schemeOf(url) === 'sns') requireEverywhere(caller)
}

export const WEBHOOK_ROUTES: readonly V1Route<WebhookServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/webhooks',
    operation: 'listWebhooks',
    summary: 'Who is told of changes',
    tag,
    action: 'read',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(WebhookAnswer),
    handle: async ({ services, scope, query }) => ({
      body: pageOfAll('webhooks', (await services.webhooks.list(scope)).map(answerOf), { ...query, placeOf: byCreation }),
    }),
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
      requireTopicPlace(caller, body.url)
      const webhook = await services.webhooks.create(scope, body)
      return { ...answered(webhook), status: 201, location: `/api/v1/webhooks/${webhook.id}` }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/webhooks/:id',
      operation: 'getWebhook',
      summary: 'Somebody who is told of changes',
      tag,
      action: 'read',
      answer: WebhookAnswer,
      handle: async ({ services, scope, params }) => answered(await services.webhooks.get(scope, params['id']!)),
    }),
  ),
  v1Route({
    method: 'PATCH',
    path: '/webhooks/:id',
    operation: 'updateWebhook',
    conditional: true,
    summary: 'Change a webhook, or pause it',
    tag,
    action: 'admin',
    body: WebhookUpdateBody,
    answer: WebhookAnswer,
    handle: async (call) => {
      const { services, scope, params, body, caller } = call
      requireSecretPlace(caller, body.secret)
      requireTopicPlace(caller, body.url)
      const id = params['id']!
      // Otherwise a caller who may not name the secret could have it sign deliveries to an address of their choice.
      if (body.url !== undefined && body.secret !== null && (await services.webhooks.get(scope, id)).signed) requireEverywhere(caller)
      return answered(await services.webhooks.update(seenFields(call), id, body))
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/webhooks/:id',
    operation: 'deleteWebhook',
    conditional: true,
    summary: 'Tell them no more; deliveries go too',
    tag,
    action: 'admin',
    handle: async (call) => {
      await call.services.webhooks.delete(seenFields(call), call.params['id']!)
      return {}
    },
  }),
  v1Route({
    method: 'POST',
    path: '/webhooks/:id/test',
    operation: 'testWebhook',
    summary: 'Have it told of a test, which is delivered like any other event',
    tag,
    action: 'admin',
    answer: WebhookTestAnswer,
    status: 202,
    handle: async ({ services, scope, params }) => ({ body: await services.webhooks.test(scope, params['id']!), status: 202 }),
  }),
  v1Route({
    method: 'GET',
    path: '/webhooks/:id/deliveries',
    operation: 'listDeliveries',
    summary: 'What was sent, or is to be, and what came of it; the newest first',
    tag,
    action: 'read',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(WebhookDeliveryAnswer),
    handle: async ({ services, scope, params, query: { limit = PAGE_LIMIT, pageToken } }) => {
      const id = params['id']!
      const list = `deliveries of ${id}`
      const before = placeOfToken(list, pageToken)
      const { deliveries, total } = await services.webhooks.deliveries(scope, id, {
        limit: limit + 1,
        before: before === undefined ? undefined : Number(before),
      })
      return { body: { ...pageOfRead(list, deliveries, { limit, placeOf: ({ sequence }) => String(sequence) }), total } }
    },
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
