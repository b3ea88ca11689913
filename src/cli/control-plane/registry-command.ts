import { stringify } from 'yaml'
import { API_VERSION } from '../../contract/schema.ts'
import { SlipwayError } from '../../core/errors.ts'
import { withCredentials } from '../credentials.ts'
import { note, print, table } from '../output.ts'
import { RegistryClient } from './client.ts'
import { chosenContext } from './contexts.ts'
import type { Command } from 'commander'
import type { ContextOptions } from './contexts.ts'

/** Options of every command that asks a control plane. */
export interface RegistryOptions extends ContextOptions {
  readonly output: string
  readonly dryRun?: boolean
  readonly reason?: string
}

const OUTPUTS = ['table', 'json', 'yaml', 'name'] as const

/** Adds the options of every command that asks a control plane. */
export function asksRegistry(command: Command, { changes = false }: { changes?: boolean } = {}): Command {
  command
    .option('--url <url>', 'the control plane; default: that of the context, else http://127.0.0.1:8480')
    .option('--context <name>', 'which control plane, as `slipway context` knows them')
    .option('--environment <name>', 'which environment of it; default: its first')
    .option('-o, --output <format>', OUTPUTS.join(', '), 'table')
  withCredentials(command, 'file with an API key; or SLIPWAY_API_KEY')
  if (changes) command.option('--reason <text>', 'why, for the record').option('--dry-run', 'show what would be asked, and change nothing')
  return command
}

/** A next step in words that ask the same control plane: the command with the flags that say which one, and by which key. */
export function sameContext(command: string, { url, context, environment, keyFile, ca }: ContextOptions): string {
  const flags = { url, context, environment, 'key-file': keyFile, ca }
  const given = Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name} ${shellWord(value)}`]))
  return [command, ...given].join(' ')
}

/** A word as a shell takes it. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

export async function clientOf(options: RegistryOptions): Promise<RegistryClient> {
  if (!(OUTPUTS as readonly string[]).includes(options.output))
    throw new SlipwayError('SLW_USAGE', `--output ${options.output}: expected ${OUTPUTS.join(', ')}`)
  return new RegistryClient(await chosenContext(options), options.reason)
}

/** Makes a change, or shows it with `--dry-run`. @returns undefined where the change was only shown */
export async function change<T>(
  options: RegistryOptions,
  client: RegistryClient,
  asked: { method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'; path: string; body?: unknown; headers?: Readonly<Record<string, string>> },
): Promise<T | undefined> {
  const { method, path, body, headers } = asked
  if (options.dryRun === true) {
    print(stringify({ [`${method} ${client.target.url}/api/v1${path}`]: body ?? null }).trimEnd())
    return undefined
  }
  return await client.ask<T>(path, { method, ...(body !== undefined && { body }), ...(headers !== undefined && { headers }) })
}

/** Text form of one kind of object, alone or in a list. */
export interface View<T> {
  readonly kind: string
  readonly name: (thing: T) => string
  readonly header: readonly string[]
  readonly row: (thing: T) => readonly string[]
  /** What an empty list says. Default: `no` and the first column with an s. */
  readonly none?: string
}

export function show<T>(thing: T, view: View<T>, { output }: RegistryOptions, text?: string): void {
  if (output === 'json') print(JSON.stringify({ apiVersion: API_VERSION, kind: view.kind, ...thing }, undefined, 2))
  else if (output === 'yaml') print(stringify({ apiVersion: API_VERSION, kind: view.kind, ...thing }).trimEnd())
  else if (output === 'name') print(view.name(thing))
  else print(text ?? table([view.row(thing)], view.header))
}

export function showList<T>(items: readonly T[], view: View<T>, { output }: RegistryOptions, total: number = items.length): void {
  if (output === 'json') print(JSON.stringify({ apiVersion: API_VERSION, kind: `${view.kind}List`, total, items }, undefined, 2))
  else if (output === 'yaml') print(stringify({ apiVersion: API_VERSION, kind: `${view.kind}List`, total, items }).trimEnd())
  else if (output === 'name') for (const item of items) print(view.name(item))
  else {
    print(items.length === 0 ? (view.none ?? `no ${view.header[0]}s`) : table(items.map(view.row), view.header))
    if (total > items.length) note(`${items.length} of ${total}; more with --limit`)
  }
}

/** `churn/3` as its parts. @throws SLW_USAGE */
export function versionName(text: string): { model: string; version: string } {
  const [, model, version] = /^([^/@]+)\/(\d+)$/.exec(text) ?? []
  if (model !== undefined && version !== undefined) return { model, version }
  throw new SlipwayError('SLW_USAGE', `"${text}" names no version; expected MODEL/NUMBER, such as churn/3`)
}

/** `churn@champion` as its parts. @throws SLW_USAGE */
export function aliasName(text: string): { model: string; alias: string } {
  const [, model, alias] = /^([^/@]+)@([^/@]+)$/.exec(text) ?? []
  if (model !== undefined && alias !== undefined) return { model, alias }
  throw new SlipwayError('SLW_USAGE', `"${text}" names no alias; expected MODEL@ALIAS, such as churn@champion`)
}

/** `key=value` pairs. @throws SLW_USAGE */
export function pairs(texts: readonly string[] | undefined, flag: string): Record<string, string> | undefined {
  if (texts === undefined) return undefined
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=')
      if (at < 1) throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected KEY=VALUE`)
      return [text.slice(0, at), text.slice(at + 1)]
    }),
  )
}

/** A moment as people write it: `2026-05-01T10:00Z`, `2026-05-01`, or milliseconds. @throws SLW_USAGE */
export function momentOf(text: string, flag: string): number {
  const at = /^\d{10,}$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isFinite(at)) return at
  throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected a moment, such as 2026-05-01T10:00Z`)
}

export function time(epochMs: number | undefined): string {
  return epochMs === undefined ? '' : new Date(epochMs).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** Encodes one part of a path of `/api/v1`. */
export function part(text: string): string {
  return encodeURIComponent(text)
}
