import { SlipwayError } from '../../core/errors.ts'
import { asksRegistry, clientOf, part, show, showList, time } from '../control-plane/registry-command.ts'
import { runView } from '../model/views.ts'
import { table } from '../output.ts'
import type { Command } from 'commander'
import type { RunAnswer } from '../../contract/registry-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.command('list').description('find runs'))
    .option('--experiment <id>', 'of one experiment only')
    .option('--filter <text>', 'such as "metrics.auc > 0.9"')
    .option('--order-by <terms>', 'such as "metrics.auc DESC"; several with commas between them')
    .option('--limit <n>', 'how many', '100')
    .action(async (options: RegistryOptions & { experiment?: string; filter?: string; orderBy?: string; limit: string }) => {
      const query = { experimentId: options.experiment, filter: options.filter, orderBy: options.orderBy, limit: options.limit }
      const { items, total } = await (await clientOf(options)).ask<{ items: RunAnswer[]; total: number }>('/runs', { query })
      showList(items, runView, options, total)
    })
  asksRegistry(
    command.command('show').description('show a run and what was logged to it').argument('<run>', 'its id, or how it begins'),
  ).action(async (id: string, options: RegistryOptions) => {
    const client = await clientOf(options)
    const run = /^[0-9a-f]{4,31}$/.test(id) ? await runThatBegins(client, id) : await client.ask<RunAnswer>(`/runs/${part(id)}`)
    show(run, runView, options, textOf(run))
  })
}

/** @throws SLW_NOT_FOUND where no run begins so; SLW_USAGE where several do */
async function runThatBegins(client: RegistryClient, start: string): Promise<RunAnswer> {
  const query = { filter: `attributes.run_id LIKE '${start}%'`, limit: 2 }
  const { items, total } = await client.ask<{ items: RunAnswer[]; total: number }>('/runs', { query })
  const [run] = items
  if (run === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no run has an id that begins with "${start}"`)
  if (total > 1)
    throw new SlipwayError(
      'SLW_USAGE',
      `the ids of ${total} runs begin with "${start}": ${items.map(({ id }) => id).join(', ')}${total > 2 ? ', ...' : ''}`,
    )
  return run
}

function textOf(run: RunAnswer): string {
  const rows = [
    ['status', run.status],
    ['experiment', run.experimentId],
    ['by', run.user],
    ['from', `${time(run.startTime)}${run.endTime === undefined ? '' : ` to ${time(run.endTime)}`}`],
    ...Object.entries(run.params).map(([key, value]) => [`param ${key}`, value]),
    ...Object.entries(run.metrics).map(([key, value]) => [`metric ${key}`, String(value)]),
    ...Object.entries(run.tags).map(([key, value]) => [`tag ${key}`, value]),
  ]
  return `${run.name}  ${run.id}\n${table(rows.map(([name = '', text = '']) => [`  ${name}`, text]))}`
}
