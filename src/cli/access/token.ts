import { asksRegistry, change, clientOf, part, showList, time } from '../control-plane/registry-command.ts'
import { note, print } from '../output.ts'
import { SCOPES } from '../../contract/roles.ts'
import { SlipwayError } from '../../core/errors.ts'
import { parseDurationMs } from '../../core/units.ts'
import type { Command } from 'commander'
import type { KeyAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

const tokenView: View<KeyAnswer> = {
  kind: 'Token',
  name: ({ id }) => id,
  header: ['token', 'id', 'begins with', 'opens', 'where', 'for', 'until', 'last used'],
  row: ({ name, id, prefix, scopes, environments, models, expiresAt, revokedAt, lastUsedAt }) => [
    name,
    id,
    prefix,
    scopes.join(' '),
    environments?.join(' ') ?? 'everywhere',
    models?.join(' ') ?? 'all models',
    revokedAt === undefined ? (expiresAt === undefined ? 'it is revoked' : time(expiresAt)) : 'revoked',
    time(lastUsedAt),
  ],
}

interface CreateOptions extends RegistryOptions {
  readonly role?: string[]
  readonly in?: string[]
  readonly model?: string[]
  readonly expires?: string
}

export function define(command: Command): void {
  asksRegistry(command.command('create').description('make a token, which is printed once').argument('<name>', 'what it is for'), {
    changes: true,
  })
    .option('--role <role...>', `for a machine: ${SCOPES.join(', ')}. Default: your own, with what you may do`)
    .option('--in <environment...>', 'for a machine: where it holds. Default: everywhere')
    .option('--model <name...>', 'for a machine: models that it is for; with * at the end all that begin so. Default: all')
    .option('--expires <duration>', 'how long it holds, such as 720h')
    .action(create)
  asksRegistry(command.command('list').description('your own tokens'))
    .option('--all', 'of machines and of everybody, for admins')
    .action(async (options: RegistryOptions & { all?: boolean }) => {
      const { items } = await (await clientOf(options)).all<KeyAnswer>(options.all === true ? '/keys' : '/tokens')
      showList(items, tokenView, options)
    })
  asksRegistry(command.command('revoke').description('end a token').argument('<id>', 'as `list` shows it'), { changes: true })
    .option('--machine', 'one of a machine, or of somebody else, for admins')
    .action(async (id: string, options: RegistryOptions & { machine?: boolean }) => {
      await change(options, await clientOf(options), {
        method: 'DELETE',
        path: `/${options.machine === true ? 'keys' : 'tokens'}/${part(id)}`,
      })
      if (options.dryRun !== true) print(`revoked ${id}`)
    })
  command.addHelpText(
    'after',
    '\nExamples:\n  slipway token create laptop\n  slipway token create edge --role join --in production --expires 24h',
  )
}

async function create(name: string, options: CreateOptions): Promise<void> {
  const unknown = options.role?.find((role) => !(SCOPES as readonly string[]).includes(role))
  if (unknown !== undefined) throw new SlipwayError('SLW_USAGE', `--role ${unknown}: expected some of ${SCOPES.join(', ')}`)
  if (options.role === undefined && (options.in !== undefined || options.model !== undefined))
    throw new SlipwayError('SLW_USAGE', '--in and --model are for tokens of machines: add --role')
  const expiresAt = options.expires === undefined ? undefined : Date.now() + parseDurationMs(options.expires, '--expires')
  const body = {
    name,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(options.role !== undefined && { scopes: options.role }),
    ...(options.in !== undefined && { environments: options.in }),
    ...(options.model !== undefined && { models: options.model }),
  }
  const path = options.role === undefined ? '/tokens' : '/keys'
  const made = await change<KeyAnswer>(options, await clientOf(options), { method: 'POST', path, body })
  if (made === undefined) return
  print(made.key ?? '')
  note('It is shown this once.')
}
