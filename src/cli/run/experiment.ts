import { asksRegistry, clientOf, showList, time } from '../control-plane/registry-command.ts'
import type { Command } from 'commander'
import type { ExperimentAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

const experimentView: View<ExperimentAnswer> = {
  kind: 'Experiment',
  name: ({ id }) => id,
  header: ['experiment', 'name', 'made', 'changed', 'artifacts'],
  row: ({ id, name, createdAt, updatedAt, artifactLocation }) => [id, name, time(createdAt), time(updatedAt), artifactLocation],
}

export function define(command: Command): void {
  asksRegistry(command.command('list').description('find experiments'))
    .option('--filter <text>', `such as "name LIKE 'churn%'"`)
    .option('--order-by <terms>', 'such as "last_update_time DESC"; several with commas between them')
    .option('--limit <n>', 'how many', '100')
    .action(async (options: RegistryOptions & { filter?: string; orderBy?: string; limit: string }) => {
      const { filter, orderBy, limit } = options
      const client = await clientOf(options)
      const query = { filter, orderBy, limit }
      const { items, total } = await client.ask<{ items: ExperimentAnswer[]; total: number }>('/experiments', { query })
      showList(items, experimentView, options, total)
    })
}
