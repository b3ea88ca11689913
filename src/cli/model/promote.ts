import { asksRegistry, change, clientOf, part, sameContext, show } from '../control-plane/registry-command.ts'
import { SlipwayError } from '../../core/errors.ts'
import { note, style } from '../output.ts'
import type { Command } from 'commander'
import type { PromotedAnswer } from '../../contract/access-api.ts'
import type { AliasAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

interface PromoteOptions extends RegistryOptions {
  readonly from?: string
  readonly to: string
  readonly alias?: string | false
  readonly allowBreaking?: boolean
}

const promotedView: View<PromotedAnswer> = {
  kind: 'Promotion',
  name: ({ model, version }) => `${model}/${version}`,
  header: ['environment', 'version', 'alias', 'copied'],
  row: ({ environment, model, version, alias = '', created }) => [
    environment,
    `${model}/${version}`,
    alias,
    created ? 'now' : 'it was there',
  ],
}

export function define(command: Command): void {
  asksRegistry(command.argument('<model>', 'MODEL@ALIAS or MODEL/NUMBER'), { changes: true })
    .option('--from <environment>', 'where it is; default: that of the context')
    .requiredOption('--to <environment>', 'where it is to be')
    .option('--alias <alias>', 'alias that is set there; default: the one that is promoted')
    .option('--no-alias', 'sets none')
    .option('--allow-breaking', 'also where clients of the version before would not be understood any more')
    .addHelpText(
      'after',
      '\nExample:\n  slipway promote churn@champion --from staging --to production --reason "a week without complaints"',
    )
    .action(promote)
}

async function promote(name: string, options: PromoteOptions): Promise<void> {
  const [, model, alias, number] = /^([^/@]+)(?:@([^/@]+)|\/(\d+))$/.exec(name) ?? []
  if (model === undefined) throw new SlipwayError('SLW_USAGE', `"${name}" names no version; expected MODEL@ALIAS or MODEL/NUMBER`)
  const client = await clientOf(options.from === undefined ? options : { ...options, environment: options.from })
  const version = number ?? String((await client.ask<AliasAnswer>(`/models/${part(model)}/aliases/${part(alias!)}`)).version)
  const target = options.alias === false ? undefined : (options.alias ?? alias)
  const body = {
    to: options.to,
    ...(target !== undefined && { alias: target }),
    ...(options.allowBreaking === true && { allowBreaking: true }),
  }
  const promoted = await change<PromotedAnswer>(options, client, {
    method: 'POST',
    path: `/models/${part(model)}/versions/${version}/promote`,
    body,
  })
  if (promoted === undefined) return
  show(promoted, promotedView, options)
  if (options.output === 'table' && target !== undefined)
    note(`\nNext: ${style('bold', sameContext('slipway endpoint list', { ...options, environment: options.to }))}`)
}
