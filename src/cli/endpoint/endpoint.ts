import { stringify } from 'yaml'
import { asksRegistry, change, clientOf, part, show, showList } from '../control-plane/registry-command.ts'
import { changeEndpoint, changeText } from './apply-change.ts'
import { readDocuments } from './documents.ts'
import { revisionNumber } from './revision-number.ts'
import { endpointText, endpointView, revisionView } from './views.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { within } from './apply.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'
import type { AppliedAnswer, EndpointAnswer, RevisionAnswer } from '../../contract/delivery-api.ts'
import type { ChangeOptions } from './apply-change.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

const BREAKING = ['--allow-breaking', 'also where clients of the versions before would not be understood any more'] as const
const WAIT = ['--wait [duration]', 'until every server that follows serves it'] as const

export function define(command: Command): void {
  asksRegistry(command.command('list').description('the endpoints, and how each of them is')).action(async (options: RegistryOptions) => {
    showList((await (await clientOf(options)).all<EndpointAnswer>('/endpoints')).items, endpointView, options)
  })
  const named = (name: string, description: string, changes = true): Command =>
    asksRegistry(command.command(name).description(description).argument('<endpoint>'), { changes })
  named('show', 'an endpoint, its revision in force, and what servers say', false).action(
    async (name: string, options: RegistryOptions) => {
      const endpoint = await (await clientOf(options)).ask<EndpointAnswer>(`/endpoints/${part(name)}`)
      show(endpoint, endpointView, options, endpointText(endpoint))
    },
  )
  named('export', 'the document of an endpoint, as it would be applied', false).action(async (name: string, options: RegistryOptions) => {
    const { metadata, spec } = await (await clientOf(options)).ask<EndpointAnswer>(`/endpoints/${part(name)}`)
    const { environment, labels } = metadata
    const document = { apiVersion: API_VERSION, kind: 'Endpoint', metadata: { name, environment, labels }, spec }
    print(options.output === 'json' ? JSON.stringify(document, undefined, 2) : stringify(document).trimEnd())
  })
  asksRegistry(command.command('diff').description('what applying a file would change; exit code 3 where it would'))
    .requiredOption('-f, --file <file>', 'file of endpoint documents; - reads standard input')
    .option(...BREAKING)
    .action(diff)
  named('history', 'the revisions of an endpoint', false)
    .option('--limit <n>', 'how many', '20')
    .action(async (name: string, options: RegistryOptions & { limit: string }) => {
      const { items, total } = await (
        await clientOf(options)
      ).ask<{ items: RevisionAnswer[]; total: number }>(`/endpoints/${part(name)}/revisions`, { query: { limit: options.limit } })
      showList(items, revisionView, options, total)
    })
  named('rollback', 'return to what an earlier revision served; aliases are then not followed')
    .option('--to <revision>', 'default: the newest one that served something else')
    .option('--move-alias', 'also point the aliases that are followed to those versions')
    .option(...WAIT)
    .action(rollback)
  named('renew-key', 'give servers another key to sign receipts of predictions with, which happens once a month by itself')
    .option('--forget-others', 'believe no receipt of an earlier key any more, as after a key got out')
    .action(async (name: string, options: RegistryOptions & { forgetOthers?: boolean }) => {
      const client = await clientOf(options)
      const body = { forgetOthers: options.forgetOthers === true }
      const after = await change<EndpointAnswer>(options, client, { method: 'POST', path: `/endpoints/${part(name)}/receipt-key`, body })
      if (after !== undefined) show(after, endpointView, options, `${name}: servers sign receipts with another key from now on`)
    })
  named('resume', 'follow the aliases again after a rollback')
    .option(...BREAKING)
    .option(...WAIT)
    .action((name: string, options: ChangeOptions) => renew(name, 'resume', options))
  named('sync', 'take over what the aliases point to now')
    .option(...BREAKING)
    .option(...WAIT)
    .action((name: string, options: ChangeOptions) => renew(name, 'sync', options))
  named('delete', 'take an endpoint away: servers stop answering for it').action(async (name: string, options: RegistryOptions) => {
    await change(options, await clientOf(options), { method: 'DELETE', path: `/endpoints/${part(name)}` })
    if (options.dryRun !== true) print(`endpoint ${name} deleted`)
  })
  command.addHelpText(
    'after',
    '\nExamples:\n  slipway endpoint show churn\n  slipway endpoint rollback churn --reason "too many errors" --wait',
  )
}

async function rollback(name: string, options: ChangeOptions & { to?: string; moveAlias?: boolean }): Promise<void> {
  const body = {
    ...(options.to !== undefined && { to: revisionNumber('--to', options.to) }),
    ...(options.moveAlias === true && { moveAlias: true }),
  }
  await changeEndpoint(options, await clientOf(options), { method: 'POST', path: `/endpoints/${part(name)}/rollback`, body })
}

async function renew(name: string, action: 'resume' | 'sync', options: ChangeOptions): Promise<void> {
  await changeEndpoint(options, await clientOf(options), { method: 'POST', path: `/endpoints/${part(name)}/${action}`, body: {} })
}

async function diff(options: ChangeOptions & { file: string }): Promise<void> {
  const client = await clientOf(options)
  let differs = false
  for (const document of await readDocuments(options.file)) {
    const applied = await within(client, document, undefined).ask<AppliedAnswer>(`/endpoints/${part(document.metadata.name)}`, {
      method: 'PUT',
      query: { dryRun: 'true', ...(options.allowBreaking === true && { allowBreaking: 'true' }) },
      body: document,
    })
    differs ||= applied.differences.length > 0
    print(options.output === 'json' ? JSON.stringify(applied.differences, undefined, 2) : changeText(applied))
  }
  if (differs) process.exitCode = 3
}
