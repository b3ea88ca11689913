import { asksRegistry, change, clientOf, part, show, showList, time } from '../control-plane/registry-command.ts'
import { print } from '../output.ts'
import { ROLES } from '../../contract/roles.ts'
import { SlipwayError } from '../../core/errors.ts'
import type { Command } from 'commander'
import type { RoleAnswer } from '../../contract/access-api.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

const roleView: View<RoleAnswer> = {
  kind: 'Role',
  name: ({ id }) => id,
  header: ['who', 'role', 'where', 'for', 'id', 'given', 'by'],
  none: 'no roles',
  row: ({ kind, name, role, environment, model, id, createdAt, createdBy }) => [
    kind === 'group' ? `group:${name}` : name,
    role,
    environment ?? 'everywhere',
    model ?? 'all models',
    id,
    time(createdAt),
    createdBy,
  ],
}

export function define(command: Command): void {
  asksRegistry(command.command('list').description('who has which role, where')).action(async (options: RegistryOptions) => {
    const { items } = await (await clientOf(options)).all<RoleAnswer>('/roles')
    showList(items, roleView, options)
  })
  asksRegistry(
    command
      .command('grant')
      .description('give a role, in the environment that is asked')
      .argument('<who>', 'address or name of a person, or group:NAME')
      .argument('<role>', ROLES.join(', ')),
    { changes: true },
  )
    .option('--everywhere', 'in every environment')
    .option('--model <name>', 'for one model; with * at the end all that begin so')
    .action(async (who: string, role: string, options: RegistryOptions & { everywhere?: boolean; model?: string }) => {
      if (!(ROLES as readonly string[]).includes(role))
        throw new SlipwayError('SLW_USAGE', `"${role}" is no role; expected ${ROLES.join(', ')}`)
      const group = who.startsWith('group:')
      const body = {
        kind: group ? 'group' : 'user',
        name: group ? who.slice('group:'.length) : who,
        role,
        ...(options.everywhere === true && { everywhere: true }),
        ...(options.model !== undefined && { model: options.model }),
      }
      const given = await change<RoleAnswer>(options, await clientOf(options), { method: 'POST', path: '/roles', body })
      if (given !== undefined) show(given, roleView, options)
    })
  asksRegistry(command.command('revoke').description('take a role away').argument('<id>', 'as `list` shows it'), { changes: true }).action(
    async (id: string, options: RegistryOptions) => {
      await change(options, await clientOf(options), { method: 'DELETE', path: `/roles/${part(id)}` })
      if (options.dryRun !== true) print(`role ${id} revoked`)
    },
  )
  command.addHelpText(
    'after',
    '\nExamples:\n  slipway role grant anna@example.org operator --environment production\n  slipway role grant group:data-science developer --model "churn*"',
  )
}
