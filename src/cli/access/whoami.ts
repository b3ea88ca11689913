import { asksRegistry, clientOf, show } from '../control-plane/registry-command.ts'
import { table } from '../output.ts'
import type { Command } from 'commander'
import type { WhoamiAnswer } from '../../contract/access-api.ts'
import type { Grant } from '../../contract/roles.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

const whoamiView: View<WhoamiAnswer> = {
  kind: 'Whoami',
  name: ({ name }) => name,
  header: ['who', 'kind'],
  row: ({ name, kind }) => [name, kind],
}

export function define(command: Command): void {
  asksRegistry(command)
    .addHelpText('after', '\nEnds with 5 where nobody is signed in.')
    .action(async (options: RegistryOptions) => {
      const who = await (await clientOf(options)).ask<WhoamiAnswer>('/whoami')
      const rows = who.environments.map(({ environment, actions }) => [environment, actions.join(' ') || 'nothing'])
      show(
        who,
        whoamiView,
        options,
        `${who.name} (${who.kind}): ${who.grants.map(grantText).join('; ') || 'no role'}\n\n${table(rows, ['environment', 'may'])}`,
      )
    })
}

function grantText({ role, environments, models }: Grant): string {
  return [
    role,
    environments === undefined ? 'everywhere' : `in ${environments.join(', ')}`,
    models === undefined ? '' : `for ${models.join(', ')}`,
  ]
    .filter((part) => part !== '')
    .join(' ')
}
