import { note, print, table } from '../output.ts'
import { SlipwayError } from '../../core/errors.ts'
import { reportRows, revisionView } from '../endpoint/views.ts'
import { aliasName, asksRegistry, clientOf, momentOf, part, showList, time } from './registry-command.ts'
import { eventView } from '../model/views.ts'
import type { Command } from 'commander'
import type { EndpointHistoryAnswer } from '../../contract/delivery-api.ts'
import type { RegistryClient } from './client.ts'
import type { AliasHistoryAnswer, EventAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions } from './registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.argument('[name]', 'MODEL, MODEL/NUMBER or MODEL@ALIAS'))
    .option('--endpoint <endpoint>', 'of an endpoint instead')
    .option('--at <moment>', 'what the alias pointed to, or the endpoint served, then, and who had seen to that; such as 2026-05-01T10:00Z')
    .option('--limit <n>', 'how many changes', '50')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway history churn\n  slipway history churn@champion --at 2026-05-01T10:00Z\n  slipway history --endpoint churn --at 2026-05-01T10:00Z',
    )
    .action(history)
}

async function history(
  named: string | undefined,
  options: RegistryOptions & { endpoint?: string; at?: string; limit: string },
): Promise<void> {
  const client = await clientOf(options)
  const { endpoint } = options
  if ((named === undefined) === (endpoint === undefined))
    throw new SlipwayError('SLW_USAGE', 'name what the history is of: a model, a version or an alias, or --endpoint NAME')
  if (endpoint !== undefined) {
    await ofEndpoint(client, endpoint, options)
    return
  }
  const name = named!
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
  // The history of a model includes its versions and aliases.
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

async function ofEndpoint(client: RegistryClient, name: string, options: RegistryOptions & { at?: string; limit: string }): Promise<void> {
  if (options.at === undefined) {
    const query = { name, kind: 'endpoint', limit: options.limit }
    const { items, total } = await client.ask<{ items: EventAnswer[]; total: number }>('/events', { query })
    showList(items, eventView, options, total)
    return
  }
  const then = await client.ask<EndpointHistoryAnswer>(`/endpoints/${part(name)}/history`, { query: { at: momentOf(options.at, '--at') } })
  if (options.output !== 'table') {
    print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'EndpointHistory', ...then }, undefined, 2))
    return
  }
  if (then.revision === undefined) {
    print(`endpoint ${name} was not there at ${time(then.at)}`)
    return
  }
  print(table([revisionView.row(then.revision)], revisionView.header))
  if (then.servers.length === 0) note('no server had said anything of it by then')
  else print(`\n${table(then.servers.flatMap(reportRows), ['server', 'version', 'state', 'since'])}`)
}
