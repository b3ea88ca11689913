import { setTimeout as pause } from 'node:timers/promises'
import { isSlipwayError } from '../../core/errors.ts'
import { note, print } from '../output.ts'
import { asksRegistry, clientOf, momentOf, showList } from './registry-command.ts'
import { readEvents } from './event-stream.ts'
import { eventView } from '../model/views.ts'
import type { Command } from 'commander'
import type { EventAnswer } from '../../contract/registry-api.ts'
import type { RegistryClient } from './client.ts'
import type { RegistryOptions } from './registry-command.ts'

interface EventsOptions extends RegistryOptions {
  readonly kind?: string
  readonly name?: string
  readonly actor?: string
  readonly from?: string
  readonly until?: string
  readonly limit: string
  readonly follow?: boolean
}

const AGAIN_AFTER_MS = 1000

export function define(command: Command): void {
  asksRegistry(command)
    .option('--kind <kind>', 'experiment, run, logged_model, model, version, alias, signer, webhook or key')
    .option('--name <name>', 'MODEL, MODEL/NUMBER or MODEL@ALIAS; with * at the end all that begin so')
    .option('--actor <name>', 'who')
    .option('--from <moment>', 'not before')
    .option('--until <moment>', 'not after')
    .option('--limit <n>', 'how many', '50')
    .option('--follow', 'go on with what is changed from now on, one line each')
    .action(events)
}

async function events(options: EventsOptions): Promise<void> {
  const client = await clientOf(options)
  const { kind, name, actor } = options
  if (options.follow === true) return await follow(client, options)
  const query = {
    kind,
    name,
    actor,
    from: options.from === undefined ? undefined : momentOf(options.from, '--from'),
    until: options.until === undefined ? undefined : momentOf(options.until, '--until'),
    limit: options.limit,
  }
  const { items, total } = await client.ask<{ items: EventAnswer[]; total: number }>('/events', { query })
  showList(items, eventView, options, total)
}

/** Prints events as they come; after a broken connection, from the last one on. */
async function follow(client: RegistryClient, options: EventsOptions): Promise<void> {
  const { kind, name, actor } = options
  for (let last: string | undefined; ;) {
    try {
      const headers = { accept: 'text/event-stream', ...(last !== undefined && { 'last-event-id': last }) }
      const response = await client.open('/events/stream', { query: { kind, name, actor }, headers })
      for await (const message of readEvents(response.body!)) {
        if (message.id !== undefined) last = message.id
        if (message.data === undefined) continue
        const event = JSON.parse(message.data) as EventAnswer
        print(options.output === 'table' ? eventView.row(event).join('  ') : JSON.stringify(event))
      }
    } catch (error) {
      if (isSlipwayError(error) && !error.kind.retry) throw error
    }
    note('the connection is gone; trying again')
    await pause(AGAIN_AFTER_MS)
  }
}
