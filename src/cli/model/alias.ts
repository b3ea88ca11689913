import { aliasName, asksRegistry, change, clientOf, part, show, showList } from '../control-plane/registry-command.ts'
import { note } from '../output.ts'
import { aliasView } from './views.ts'
import { waitUntilServed } from './wait.ts'
import { SlipwayError } from '../../core/errors.ts'
import type { Command } from 'commander'
import type { AliasAnswer, VersionAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.command('list').description('the aliases of a model').argument('<model>')).action(
    async (model: string, options: RegistryOptions) => {
      const { items } = await (await clientOf(options)).ask<{ items: AliasAnswer[] }>(`/models/${part(model)}/aliases`)
      showList(items, aliasView, options)
    },
  )
  asksRegistry(
    command
      .command('set')
      .description('point an alias to a version')
      .argument('<alias>', 'MODEL@ALIAS')
      .argument('<version>', 'its number'),
    { changes: true },
  )
    .option('--allow-breaking', 'also where clients of the version that it points to would not be understood any more')
    .option('--expect <version>', 'only where it points to this version now; "none": only where it is not set')
    .option('--wait [duration]', 'until the local server answers with it (champion)')
    .action(set)
  asksRegistry(command.command('delete').description('take an alias away').argument('<alias>', 'MODEL@ALIAS'), { changes: true }).action(
    async (name: string, options: RegistryOptions) => {
      const { model, alias } = aliasName(name)
      await change(options, await clientOf(options), { method: 'DELETE', path: `/models/${part(model)}/aliases/${part(alias)}` })
    },
  )
  command.addHelpText('after', '\nExample:\n  slipway alias set churn@champion 3 --reason "better on new customers"')
}

interface SetOptions extends RegistryOptions {
  readonly allowBreaking?: boolean
  readonly expect?: string
  readonly wait?: string | boolean
}

async function set(name: string, version: string, options: SetOptions): Promise<void> {
  const { model, alias } = aliasName(name)
  if (!/^\d+$/.test(version)) throw new SlipwayError('SLW_USAGE', `"${version}" is no number of a version`)
  const client = await clientOf(options)
  const body = { version: Number(version), ...(options.allowBreaking === true && { allowBreaking: true }) }
  const { expect } = options
  const headers = expect === undefined ? {} : expect === 'none' ? { 'if-none-match': '*' } : { 'if-match': `"${expect}"` }
  const path = `/models/${part(model)}/aliases/${part(alias)}`
  const moved = await change<AliasAnswer>(options, client, { method: 'PUT', path, body, headers })
  if (moved === undefined) return
  show(moved, aliasView, options)
  const { servable, servableReason } = await client.ask<VersionAnswer>(`/models/${part(model)}/versions/${version}`)
  if (servable === 'no') note(`No server can serve ${model}/${version}: ${servableReason ?? 'the reason is not known'}`)
  if (options.wait !== undefined && options.wait !== false)
    await waitUntilServed(client, { model, version: Number(version) }, options.wait === true ? '60s' : options.wait)
}
