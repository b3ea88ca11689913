import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { SlipwayError } from '../../core/errors.ts'
import { note, print, table } from '../output.ts'
import { asksRegistry, clientOf } from './registry-command.ts'
import type { Command } from 'commander'
import type { ImportCounts, ImportStatus } from '../../contract/import-status.ts'
import type { RegistryOptions } from './registry-command.ts'

interface ImportOptions extends RegistryOptions {
  readonly from: string
  readonly fromTokenFile?: string
  readonly fromUsername?: string
}

const POLL_MS = 500

export function define(command: Command): void {
  asksRegistry(
    command.command('import').description('bring over what a server of MLflow has: experiments, runs, files, models, versions, aliases'),
  )
    .requiredOption('--from <url>', 'its address, as MLFLOW_TRACKING_URI has it')
    .option('--from-token-file <file>', 'file with a token for it, or the password of --from-username')
    .option('--from-username <name>', 'for servers with basic authentication')
    .addHelpText(
      'after',
      '\nIds, numbers and their gaps, stages, tags and times stay. What is here already is passed over: after an interruption, give the same command again.\n' +
        'The control plane asks the other server; for one on this machine or network it must run with --allow-private-addresses.',
    )
    .action(bringOver)
}

async function bringOver(options: ImportOptions): Promise<void> {
  const client = await clientOf(options)
  const secret = options.fromTokenFile === undefined ? undefined : (await readFile(options.fromTokenFile, 'utf8')).trim()
  const { from, fromUsername: username } = options
  const credentials = username === undefined ? { ...(secret !== undefined && { token: secret }) } : { username, password: secret ?? '' }
  let status = await client.ask<ImportStatus>('/imports', { method: 'POST', body: { from, ...credentials } })
  for (let told = ''; status.state === 'running';) {
    await pause(POLL_MS)
    status = await client.ask<ImportStatus>(`/imports/${status.id}`)
    const { runs, models, versions, files } = status.there
    const line = `${runs} runs, ${models} models, ${versions} versions, ${files} files`
    if (line !== told && process.stderr.isTTY) note(line)
    told = line
  }
  const { there, here } = status
  if (options.output === 'json') print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'Import', ...status }, undefined, 2))
  else if (here !== undefined)
    print(
      table(
        (Object.keys(there) as (keyof ImportCounts)[]).map((kind) => [kind, String(there[kind]), String(here[kind])]),
        ['', 'there', 'here'],
      ),
    )
  if (status.state === 'failed')
    throw new SlipwayError(
      'SLW_UNREACHABLE',
      `the import ended before its time: ${status.error ?? ''}. What has come stays; give the command again to go on`,
    )
  if (here !== undefined && (Object.keys(there) as (keyof ImportCounts)[]).some((kind) => here[kind] < there[kind])) {
    note('some of it is not here: what they list and do not give')
    process.exitCode = 3
  }
}
