import { asksRegistry, change, clientOf, part, show, showList, time } from './registry-command.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'
import type { EnvironmentAnswer } from '../../contract/access-api.ts'
import type { RegistryOptions, View } from './registry-command.ts'

const environmentView: View<EnvironmentAnswer> = {
  kind: 'Environment',
  name: ({ name }) => name,
  header: ['environment', 'made', 'by', 'description'],
  row: ({ name, createdAt, createdBy, description = '' }) => [name, time(createdAt), createdBy, description],
}

export function define(command: Command): void {
  asksRegistry(command.command('list').description('the environments of a control plane')).action(async (options: RegistryOptions) => {
    const { items } = await (await clientOf(options)).all<EnvironmentAnswer>('/environments')
    showList(items, environmentView, options)
  })
  asksRegistry(command.command('create').description('make one, with models, aliases, endpoints and roles of its own').argument('<name>'), {
    changes: true,
  })
    .option('--description <text>')
    .action(async (name: string, options: RegistryOptions & { description?: string }) => {
      const body = { name, ...(options.description !== undefined && { description: options.description }) }
      const made = await change<EnvironmentAnswer>(options, await clientOf(options), { method: 'POST', path: '/environments', body })
      if (made !== undefined) show(made, environmentView, options)
    })
  asksRegistry(command.command('delete').description('take one away in which there is nothing any more').argument('<name>'), {
    changes: true,
  }).action(async (name: string, options: RegistryOptions) => {
    await change(options, await clientOf(options), { method: 'DELETE', path: `/environments/${part(name)}` })
    if (options.dryRun !== true) print(`environment ${name} deleted`)
  })
  command.addHelpText('after', '\nExample:\n  slipway environment create production\n  MLflow clients reach it below /env/production')
}
