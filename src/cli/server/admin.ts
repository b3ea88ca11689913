import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { ERRORS, SlipwayError } from '../../core/errors.ts'
import { mayBeModel } from '../../model/formats/formats.ts'
import { requireKey, withCredentials } from '../credentials.ts'
import { print, style, table } from '../output.ts'
import { askServer, serverKey } from './server-client.ts'
import { switchTimes } from './switch-answer.ts'
import type { Command } from 'commander'
import type { ErrorCode } from '../../core/errors.ts'
import type { CredentialOptions } from '../credentials.ts'
import type { SwitchAnswer } from './switch-answer.ts'

interface AdminOptions extends CredentialOptions {
  readonly url: string
  readonly json?: boolean
}

interface ModelAnswer {
  readonly name: string
  readonly versions: readonly string[]
  readonly pinned?: string
  readonly unloaded: boolean
}

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent']

export function define(command: Command): void {
  const sub = (name: string, description: string): Command =>
    withCredentials(
      command
        .command(name)
        .description(description)
        .option('--url <url>', 'the server, or its port of administration', 'http://127.0.0.1:8470')
        .option('--json', 'the answer of the server as it is'),
      'file with the admin token of the server; or SLIPWAY_ADMIN_TOKEN',
    )
  sub('models', 'the models that the server knows, and what was switched or unloaded').action(models)
  sub('switch', 'serve another version of a model, beside the running one until it is ready')
    .argument('<model>')
    .argument('<target>', 'a version, a path on the machine of the server, or "policy" for what the folder says')
    .action(switchTo)
  sub('load', 'load a model that was unloaded').argument('<model>').action(load)
  sub('unload', 'take a model out of memory; requests for it get 404 until it is loaded').argument('<model>').action(unload)
  sub('log-level', 'show how much the server logs, or change it').argument('[level]', LEVELS.join(', ')).action(logLevel)
  command.addHelpText(
    'after',
    '\nExamples:\n  slipway admin switch churn 3\n  slipway admin switch churn policy --url http://127.0.0.1:9000\n  slipway admin log-level debug --key-file admin.token',
  )
}

/** @throws the error of the server, under its code; SLW_NOT_FOUND where it has no administration */
async function ask<T>(options: AdminOptions, path: string, body?: unknown): Promise<T> {
  const given = await serverKey(options)
  const fromEnvironment = process.env['SLIPWAY_ADMIN_TOKEN']
  const apiKey = given ?? (fromEnvironment === undefined ? undefined : requireKey(fromEnvironment, 'SLIPWAY_ADMIN_TOKEN'))
  const base = options.url.replace(/\/+$/, '')
  const response = await askServer(`${base}${path}`, {
    apiKey,
    anyStatus: true,
    ...(body !== undefined && { method: 'POST' as const, body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T
  const { error, code } = problemOf(text)
  if (code === 'SLW_ROUTE_NOT_FOUND')
    throw new SlipwayError(
      'SLW_NOT_FOUND',
      `${base} has no administration: start the server with SLIPWAY_ADMIN_TOKEN or --admin-token-file, and ask its --admin-port where it has one`,
    )
  if (code !== undefined && code in ERRORS) throw new SlipwayError(code as ErrorCode, error)
  throw new SlipwayError('SLW_UNREACHABLE', `${base}${path} answers ${response.status}: ${error}`)
}

function problemOf(text: string): { error: string; code?: string } {
  try {
    const { error, code } = JSON.parse(text) as { error?: unknown; code?: unknown }
    return { error: typeof error === 'string' ? error : text, ...(typeof code === 'string' && { code }) }
  } catch {
    return { error: text }
  }
}

async function models(options: AdminOptions): Promise<void> {
  const answer = await ask<{ models: readonly ModelAnswer[] }>(options, '/admin/models')
  if (options.json === true) return print(JSON.stringify(answer, undefined, 2))
  const rows = answer.models.map(({ name, pinned, unloaded, versions }) => [
    name,
    versions.join(', '),
    unloaded ? 'unloaded' : pinned === undefined ? 'as the folder says' : `switched to ${pinned}`,
  ])
  print(rows.length === 0 ? 'no models' : table(rows, ['model', 'versions', 'served']))
}

async function switchTo(model: string, target: string, options: AdminOptions): Promise<void> {
  // A version is a word; whatever has a separator or an ending is a path on the machine of the server, which may be this one.
  const isPath = /[\\/]/.test(target) || mayBeModel(target)
  const body = isPath ? { model_path: existsSync(target) ? resolve(target) : target } : { version: target }
  const answer = await ask<SwitchAnswer>(options, `/admin/models/${encodeURIComponent(model)}/switch`, body)
  if (options.json === true) return print(JSON.stringify(answer, undefined, 2))
  print(
    `${answer.model} ${answer.old?.version ?? 'nothing'} -> ${style('green', answer.new?.version ?? 'nothing')}  ${switchTimes(answer)}`,
  )
  if (answer.pinned) print(`it stays until: slipway admin switch ${model} policy`)
}

async function load(model: string, options: AdminOptions): Promise<void> {
  const answer = await ask(options, `/v2/repository/models/${encodeURIComponent(model)}/load`, {})
  print(options.json === true ? JSON.stringify(answer ?? {}) : `${model} is loaded`)
}

async function unload(model: string, options: AdminOptions): Promise<void> {
  const answer = await ask(options, `/v2/repository/models/${encodeURIComponent(model)}/unload`, {})
  print(options.json === true ? JSON.stringify(answer ?? {}) : `${model} is unloaded`)
}

async function logLevel(level: string | undefined, options: AdminOptions): Promise<void> {
  if (level !== undefined && !LEVELS.includes(level))
    throw new SlipwayError('SLW_USAGE', `"${level}" is no level: expected ${LEVELS.join(', ')}`)
  const answer = await ask<{ level: string }>(options, '/admin/log', level === undefined ? undefined : { level })
  print(options.json === true ? JSON.stringify(answer) : answer.level)
}
