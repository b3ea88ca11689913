import { createHmac } from 'node:crypto'
import { firstCharacters } from '../core/text.ts'
import { sentenceOf } from './sentences.ts'
import { tagRecord } from './tags.ts'
import type { WebhookFormat } from '../contract/registry-api.ts'
import type { RegistryEvent } from './history.ts'
import type { Tag } from './tags.ts'

/** One event in the form in which one receiver takes it. */
export type Notice =
  | {
      readonly kind: 'http'
      readonly url: string
      readonly body: string
      /** @param key the secret that signs it */
      readonly headers: (key: string | undefined) => Readonly<Record<string, string>>
    }
  | {
      readonly kind: 'topic'
      readonly arn: string
      readonly subject: string
      readonly message: string
      readonly group: string
      readonly id: string
    }
  | { readonly kind: 'mail'; readonly to: string; readonly subject: string; readonly text: string; readonly id: string }

export interface Told {
  readonly deliveryId: string
  readonly webhook: string
  readonly url: string
  readonly format: WebhookFormat
  /** As it is kept: the body in MLflow's shape, as JSON. */
  readonly body: string
  /** UTC epoch milliseconds. */
  readonly now: number
}

/** What is sent: made anew for each attempt from what is kept, so that a webhook that was corrected is told in its new form. */
export function noticeOf(told: Told): Notice {
  const { deliveryId: id, url, body, now } = told
  const event = (JSON.parse(body) as { slipway: RegistryEvent }).slipway
  const http = (text: string, more: Readonly<Record<string, string>> = {}): Notice => ({
    kind: 'http',
    url,
    body: text,
    headers: (key) => ({ ...headersOf(id, Math.floor(now / 1000), text, key), ...more }),
  })
  switch (told.format) {
    case 'slack':
      return http(slackOf(event))
    case 'email':
      return {
        kind: 'mail',
        to: url.slice('mailto:'.length),
        subject: `[slipway] ${oneLine(sentenceOf(event), SUBJECT_MAX)}`,
        text: letterOf(event),
        id,
      }
    case 'sns': {
      const subject = subjectOf(event)
      if (url.startsWith('sns:'))
        return { kind: 'topic', arn: url.slice('sns:'.length), subject, message: body, group: `${event.environment} ${event.kind}`, id }
      return http(envelopeOf(told, event, subject), {
        'content-type': 'text/plain; charset=UTF-8',
        'x-amz-sns-message-type': 'Notification',
      })
    }
    default:
      return http(body)
  }
}

const SUBJECT_MAX = 150
/** https://docs.aws.amazon.com/sns/latest/api/API_Publish.html: less than 100 ASCII characters, no control characters. */
const TOPIC_SUBJECT_MAX = 99
/** https://docs.slack.dev/reference/block-kit/blocks/section-block: 3000, of which `&amp;` takes five. */
const SLACK_CHARACTERS_MAX = 600

/**
 * The shape of Slack's incoming webhooks; others of that shape (Mattermost, Rocket.Chat) show the text alone.
 * https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
 */
function slackOf(event: RegistryEvent): string {
  const text = escaped(firstCharacters(sentenceOf(event), SLACK_CHARACTERS_MAX))
  const seconds = Math.floor(event.at / 1000)
  const when = `<!date^${seconds}^{date_short_pretty} {time_secs}|${new Date(event.at).toISOString()}>`
  const beside = `${escaped(`${event.kind}.${event.action} · ${event.environment} · ${firstCharacters(event.actor, 200)}`)} · ${when}`
  return JSON.stringify({
    text,
    blocks: [
      { type: 'section', text: { type: 'mrkdwn', text } },
      { type: 'context', elements: [{ type: 'mrkdwn', text: beside }] },
    ],
  })
}

/** https://docs.slack.dev/messaging/formatting-message-text#escaping */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** Text of a mail. */
function letterOf(event: RegistryEvent): string {
  const facts = [
    ['what', `${event.kind}.${event.action} ${event.name}`],
    ['where', `environment ${event.environment}`],
    ['who', event.actor],
    ['when', new Date(event.at).toISOString()],
    ...(event.reason === undefined ? [] : [['why', event.reason]]),
    ['event', String(event.sequence)],
  ]
  return [sentenceOf(event), '', ...facts.map(([name = '', fact = '']) => `${name.padEnd(6)} ${oneLine(fact, 1000)}`), ''].join('\n')
}

function subjectOf(event: RegistryEvent): string {
  return oneLine(sentenceOf(event), TOPIC_SUBJECT_MAX).replaceAll(/[^ -~]/g, '?')
}

function oneLine(text: string, most: number): string {
  const line = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  const first = firstCharacters(line, most)
  return first === line ? line : `${firstCharacters(line, most - 3)}...`
}

/**
 * The envelope in which SNS delivers over HTTP, for receivers that read it. It is not signed by Amazon.
 * https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
 */
function envelopeOf({ deliveryId, webhook, body }: Told, event: RegistryEvent, subject: string): string {
  return JSON.stringify({
    Type: 'Notification',
    MessageId: deliveryId,
    TopicArn: `slipway:${event.environment}:${webhook}`,
    Subject: subject,
    Message: body,
    Timestamp: new Date(event.at).toISOString(),
    MessageAttributes: {
      kind: { Type: 'String', Value: event.kind },
      action: { Type: 'String', Value: event.action },
      environment: { Type: 'String', Value: event.environment },
    },
  })
}

/** MLflow's names of entities (mlflow/entities/webhook.py, 3.3). */
const ENTITIES: Partial<Readonly<Record<RegistryEvent['kind'], string>>> = {
  model: 'registered_model',
  version: 'model_version',
  alias: 'model_version_alias',
}

/** The body in MLflow's shape, with the full event as `slipway`. */
export function bodyOf(event: RegistryEvent): object {
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
