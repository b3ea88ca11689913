import { resolve } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { readKey, trust, withCredentials } from '../credentials.ts'
import { print, table } from '../output.ts'
import { RegistryClient } from './client.ts'
import { contextsPath, readContexts, writeContexts } from './contexts.ts'
import type { Command } from 'commander'
import type { CredentialOptions } from '../credentials.ts'
import type { Context } from './contexts.ts'

export function define(command: Command): void {
  const adding = command.command('add').description('remember a control plane, and use it from now on').argument('<name>').argument('<url>')
  withCredentials(adding, 'file with an API key; "-" reads it from standard input')
    .option('--environment <name>', 'which environment of it; default: its first')
    .action(add)
  command.command('use').description('use another one from now on').argument('<name>').action(use)
  command.command('list').description('show those that are known').action(list)
  command.command('remove').description('forget one').argument('<name>').action(remove)
  command.addHelpText('after', `\nThey are kept in ${contextsPath()}, which only you can read.`)
}

async function add(name: string, url: string, options: CredentialOptions & { environment?: string }): Promise<void> {
  if (!URL.canParse(url)) throw new SlipwayError('SLW_USAGE', `"${url}" is no URL`)
  const key = options.keyFile === undefined ? undefined : await readKey(options.keyFile)
  const ca = options.ca === undefined ? undefined : resolve(options.ca)
  await trust(ca)
  const context: Context = {
    url: url.replace(/\/+$/, ''),
    ...(key !== undefined && { key }),
    ...(options.environment !== undefined && { environment: options.environment }),
    ...(ca !== undefined && { ca }),
  }
  // A control plane that does not answer, or a wrong key, is reported now and not at the next command.
  await new RegistryClient(context).ask('/models', { query: { limit: 1 } })
  const file = await readContexts()
  await writeContexts({ current: name, contexts: { ...file.contexts, [name]: context } })
  print(`using ${name}: ${context.url}`)
}

async function use(name: string): Promise<void> {
  const file = await readContexts()
  if (file.contexts[name] === undefined)
    throw new SlipwayError('SLW_USAGE', `there is no context "${name}"; there are ${Object.keys(file.contexts).join(', ') || 'none'}`)
  await writeContexts({ ...file, current: name })
  print(`using ${name}: ${file.contexts[name].url}`)
}

async function list(): Promise<void> {
  const { current, contexts } = await readContexts()
  const rows = Object.entries(contexts).map(([name, { url, key, environment = '' }]) => [
    name === current ? '*' : '',
    name,
    url,
    environment,
    key === undefined ? '' : 'with a key',
  ])
  print(rows.length === 0 ? 'none; add one with: slipway context add NAME URL' : table(rows, ['', 'context', 'url', 'environment', 'key']))
}

async function remove(name: string): Promise<void> {
  const { current, contexts } = await readContexts()
  const { [name]: gone, ...others } = contexts
  if (gone === undefined) throw new SlipwayError('SLW_USAGE', `there is no context "${name}"`)
  await writeContexts({ ...(current !== name && current !== undefined && { current }), contexts: others })
}
