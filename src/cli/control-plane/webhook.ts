import { setTimeout as pause } from 'node:timers/promises'
import { SlipwayError } from '../../core/errors.ts'
import { note } from '../output.ts'
import { asksRegistry, change, clientOf, part, show, showList } from './registry-command.ts'
import { deliveryView, webhookView } from '../model/views.ts'
import type { Command } from 'commander'
import type { EventAnswer, WebhookAnswer, WebhookDeliveryAnswer, WebhookTestAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions } from './registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.command('list').description('who is told of changes')).action(async (options: RegistryOptions) => {
    const { items } = await (await clientOf(options)).all<WebhookAnswer>('/webhooks')
    showList(items, webhookView, options)
  })
  asksRegistry(
    command
      .command('add')
      .description('have somebody told of changes')
      .argument('<name>')
      .argument('<url>', 'https://..., mailto:ADDRESS, or sns:ARN of a topic'),
    {
      changes: true,
    },
  )
    .option('--event <kind.action...>', 'such as version.created, alias.*', ['*'])
    .option('--format <format>', 'event, slack, sns or email; default: what the address takes, of http event')
    .option('--secret <reference>', 'where the secret lies that what is sent is signed with: env:NAME, file:PATH, vault:..., aws-sm:...')
    .action(add)
  asksRegistry(command.command('test').description('have it told of a test, and wait for what comes of it').argument('<id>'), {
    changes: true,
  }).action(test)
  asksRegistry(command.command('delete').description('tell them no more').argument('<id>'), { changes: true }).action(
    async (id: string, options: RegistryOptions) => {
      await change(options, await clientOf(options), { method: 'DELETE', path: `/webhooks/${part(id)}` })
    },
  )
  asksRegistry(command.command('deliveries').description('what was sent, and what came of it').argument('<id>')).action(
    async (id: string, options: RegistryOptions) => {
      const { items } = await (await clientOf(options)).ask<{ items: WebhookDeliveryAnswer[] }>(`/webhooks/${part(id)}/deliveries`)
      showList(items, deliveryView, options)
    },
  )
  asksRegistry(command.command('redeliver').description('send it once more').argument('<id>').argument('<delivery>'), {
    changes: true,
  }).action(async (id: string, delivery: string, options: RegistryOptions) => {
    const path = `/webhooks/${part(id)}/deliveries/${part(delivery)}/redeliver`
    const again = await change<WebhookDeliveryAnswer>(options, await clientOf(options), { method: 'POST', path })
    if (again !== undefined) show(again, deliveryView, options)
  })
}

interface AddOptions extends RegistryOptions {
  readonly event: string[]
  readonly format?: string
  readonly secret?: string
}

async function add(name: string, url: string, options: AddOptions): Promise<void> {
  const made = await change<WebhookAnswer>(options, await clientOf(options), {
    method: 'POST',
    path: '/webhooks',
    body: {
      name,
      url,
      events: options.event,
      ...(options.format !== undefined && { format: options.format }),
      ...(options.secret !== undefined && { secret: options.secret }),
    },
  })
  if (made === undefined) return
  show(made, webhookView, options)
  if (!made.signed && /^https?:/.test(url) && made.format !== 'slack')
    note('What is sent is not signed: with --secret env:NAME the receiver can tell that it comes from here.')
}

/** Longer than a receiver has time to answer. */
const TEST_WAIT_MS = 45_000
const LOOK_EVERY_MS = 300

/** @throws SLW_UNREACHABLE where the receiver has not taken it */
async function test(id: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  const path = `/webhooks/${part(id)}`
  const asked = await change<WebhookTestAnswer>(options, client, { method: 'POST', path: `${path}/test` })
  if (asked === undefined) return
  for (const until = Date.now() + TEST_WAIT_MS; Date.now() < until; await pause(LOOK_EVERY_MS)) {
    const { items } = await client.ask<{ items: WebhookDeliveryAnswer[] }>(`${path}/deliveries`, { query: { limit: 100 } })
    const told = items.find(({ body }) => isTest(body, asked.at))
    if (told === undefined || (told.attempts === 0 && told.state === 'pending')) continue
    show(told, deliveryView, options)
    if (told.state === 'delivered') return
    throw new SlipwayError('SLW_UNREACHABLE', `the receiver has not taken the test: ${told.lastError}; it is tried again by itself`)
  }
  throw new SlipwayError(
    'SLW_UNREACHABLE',
    'the receiver has not answered to the test yet; slipway webhook deliveries says what comes of it',
  )
}

function isTest(body: unknown, at: number): boolean {
  const { slipway } = body as { slipway?: Pick<EventAnswer, 'action' | 'at'> }
  return slipway?.action === 'tested' && slipway.at === at
}
