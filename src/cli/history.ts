import { print } from './output.ts'
import { aliasName, asksRegistry, clientOf, momentOf, part, showList, time } from './registry/common.ts'
import { eventView } from './registry/views.ts'
import type { Command } from 'commander'
import type { AliasHistoryAnswer, EventAnswer } from '../contract/registry-api.ts'
import type { RegistryOptions } from './registry/common.ts'

export function define(command: Command): void {
  asksRegistry(command.argument('<name>', 'MODEL, MODEL/NUMBER or MODEL@ALIAS'))
    .option('--at <moment>', 'what the alias pointed to then, and who had seen to that; such as 2026-05-01T10:00Z')
    .option('--limit <n>', 'how many changes', '50')
    .addHelpText('after', '\nExamples:\n  slipway history churn\n  slipway history churn@champion --at 2026-05-01T10:00Z')
    .action(history)
}

async function history(name: string, options: RegistryOptions & { at?: string; limit: string }): Promise<void> {
  const client = await clientOf(options)
  if (options.at !== undefined) {
    const { model, alias } = aliasName(name)
    const query = { at: momentOf(options.at, '--at') }
    const then = await client.ask<AliasHistoryAnswer>(`/models/${part(model)}/aliases/${part(alias)}/history`, { query })
    const what = then.version === undefined ? 'was not set' : `pointed to ${model}/${then.version}`
    const since =
      then.since === undefined
        ? ''
        : `, since ${time(then.since.at)} by ${then.since.actor}${then.since.reason === undefined ? '' : `: ${then.since.reason}`}`
    if (options.output === 'json') print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'AliasHistory', ...then }, undefined, 2))
    else print(`${name} ${what} at ${time(then.at)}${since}`)
    return
  }
  // Of a model: its versions and aliases too.
  const names = /[/@]/.test(name) ? [name] : [name, `${name}/*`, `${name}@*`]
  const found = await Promise.all(
    names.map((wanted) =>
      client.ask<{ items: EventAnswer[]; total: number }>('/events', { query: { name: wanted, limit: options.limit } }),
    ),
  )
  const items = found.flatMap(({ items: some }) => some).toSorted((a, b) => b.sequence - a.sequence)
  const total = found.reduce((sum, { total: some }) => sum + some, 0)
  showList(items.slice(0, Number(options.limit)), eventView, options, total)
}
