import { note } from '../output.ts'
import { asksRegistry, change, clientOf, part, show, showList } from './registry-command.ts'
import { deliveryView, webhookView } from '../model/views.ts'
import type { Command } from 'commander'
import type { WebhookDeliveryAnswer, WebhookAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions } from './registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.command('list').description('who is told of changes')).action(async (options: RegistryOptions) => {
    const { items } = await (await clientOf(options)).all<WebhookAnswer>('/webhooks')
    showList(items, webhookView, options)
  })
  asksRegistry(command.command('add').description('have somebody told of changes').argument('<name>').argument('<url>'), { changes: true })
    .option('--event <kind.action...>', 'such as version.created, alias.*', ['*'])
    .option('--secret <reference>', 'where the secret lies that what is sent is signed with: env:NAME, file:PATH, vault:..., aws-sm:...')
    .action(add)
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

async function add(name: string, url: string, options: RegistryOptions & { event: string[]; secret?: string }): Promise<void> {
  const made = await change<WebhookAnswer>(options, await clientOf(options), {
    method: 'POST',
    path: '/webhooks',
    body: { name, url, events: options.event, ...(options.secret !== undefined && { secret: options.secret }) },
  })
  if (made === undefined) return
  show(made, webhookView, options)
  if (!made.signed) note('What is sent is not signed: with --secret env:NAME the receiver can tell that it comes from here.')
}
