import { asksRegistry, clientOf, showList } from '../control-plane/registry-command.ts'
import { serverView } from '../endpoint/views.ts'
import type { Command } from 'commander'
import type { ServerAnswer } from '../../contract/delivery-api.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.command('list').description('the servers that follow, and how each of them is')).action(
    async (options: RegistryOptions) => {
      const { items } = await (await clientOf(options)).all<ServerAnswer>('/servers')
      showList(items, serverView, options)
    },
  )
}
