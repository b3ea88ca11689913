import { asksRegistry, change, clientOf, part, show, showList, time } from './registry-command.ts'
import type { Command } from 'commander'
import type { WorkAnswer } from '../../contract/work-api.ts'
import type { RegistryOptions, View } from './registry-command.ts'

const ERROR_CHARACTERS = 60

const workView: View<WorkAnswer> = {
  kind: 'Work',
  name: ({ id }) => id,
  header: ['work', 'kind', 'state', 'attempts', 'when', 'by', 'why'],
  none: 'no work',
  row: ({ id, kind, state, attempts, attemptsMax, schedule, claimAt, endedAt, startedAt, holder = '', error = '' }) => [
    id,
    kind,
    state,
    schedule === undefined ? `${attempts} of ${attemptsMax}` : 'repeats',
    time(endedAt ?? (state === 'running' ? startedAt : claimAt)),
    holder,
    error.length > ERROR_CHARACTERS ? `${error.slice(0, ERROR_CHARACTERS)}...` : error,
  ],
}

export function define(command: Command): void {
  asksRegistry(command.command('list').description('what waits, runs and has ended, and why'))
    .option('--kind <kind>', 'such as webhooks, upkeep, import')
    .option('--state <state>', 'waiting, running, done, failed or cancelled')
    .option('--limit <n>', 'how many', '50')
    .action(async (options: RegistryOptions & { kind?: string; state?: string; limit: string }) => {
      const query = new URLSearchParams({ limit: options.limit })
      if (options.kind !== undefined) query.set('kind', options.kind)
      if (options.state !== undefined) query.set('state', options.state)
      const client = await clientOf(options)
      const { items, total } = await client.ask<{ items: WorkAnswer[]; total: number }>(`/work?${query.toString()}`)
      showList(items, workView, options, total)
    })
  asksRegistry(command.command('show').description('one item, whole').argument('<id>')).action(
    async (id: string, options: RegistryOptions) => {
      const item = await (await clientOf(options)).ask<WorkAnswer>(`/work/${part(id)}`)
      show(item, workView, { ...options, output: options.output === 'table' ? 'yaml' : options.output })
    },
  )
  for (const [name, description] of [
    ['cancel', 'end what waits or runs'],
    ['retry', 'have what has failed or was cancelled done once more'],
  ] as const)
    asksRegistry(command.command(name).description(description).argument('<id>'), { changes: true }).action(
      async (id: string, options: RegistryOptions) => {
        const item = await change<WorkAnswer>(options, await clientOf(options), { method: 'POST', path: `/work/${part(id)}/${name}` })
        if (item !== undefined) show(item, workView, options)
      },
    )
}
