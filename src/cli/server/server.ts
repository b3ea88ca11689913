import { asksRegistry, change, clientOf, showList } from '../control-plane/registry-command.ts'
import { serverView } from '../endpoint/views.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'
import type { AdoptAnswer, ServerAnswer } from '../../contract/delivery-api.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.command('list').description('the servers that follow, and how each of them is')).action(
    async (options: RegistryOptions) => {
      const { items } = await (await clientOf(options)).all<ServerAnswer>('/servers')
      showList(items, serverView, options)
    },
  )
  asksRegistry(
    command
      .command('adopt')
      .description('say that this control plane is the one to follow: after its database was restored, put back or made anew'),
    { changes: true },
  ).action(async (options: RegistryOptions) => {
    const adopted = await change<AdoptAnswer>(options, await clientOf(options), { method: 'POST', path: '/servers/adopt' })
    if (adopted === undefined) return
    const { succeeds } = adopted
    print(
      `Servers that followed ${succeeds.length === 1 ? 'the database' : 'one of the databases'} ${succeeds.join(', ')} follow this one now.`,
    )
  })
}
