import { randomUUID } from 'node:crypto'
import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { SCOPES } from '../../contract/roles.ts'
import { databaseUrl } from '../../control-plane/databases.ts'
import { ROOMS } from '../../control-plane/rooms.ts'
import { systemClock } from '../../core/clock.ts'
import { SlipwayError } from '../../core/errors.ts'
import { parseDurationMs } from '../../core/units.ts'
import { Keys } from '../../access/keys.ts'
import { openDatabase } from '../../storage/sql/open.ts'
import { note, print, table } from '../output.ts'
import type { Command } from 'commander'

interface PlaceOptions {
  readonly db?: string
  readonly data: string
}

export function define(command: Command): void {
  withPlace(
    command.command('create').description('make a key, which is printed once').argument('<name>', 'whose it is; stands in the record'),
  )
    .option('--scope <scope...>', `what it opens: ${SCOPES.join(', ')}`, ['developer'])
    .option('--environment <name...>', 'where it holds. Default: everywhere')
    .option('--model <name...>', 'models that it is for; with * at the end all that begin so. Default: all')
    .option('--expires <duration>', 'how long it holds, such as 720h. Default: until it is revoked')
    .action(create)
  withPlace(command.command('list').description('show what is known of the keys')).action(list)
  withPlace(command.command('revoke').description('end a key').argument('<id>', 'as `list` shows it')).action(revoke)
  command.addHelpText(
    'after',
    '\nThey open the database themselves, so that on SQLite the control plane must be stopped meanwhile; while it runs: slipway token.',
  )
}

function withPlace(command: Command): Command {
  return command
    .option('--db <url>', 'sqlite:PATH or postgres://...; default: the file in the data folder')
    .option('--data <folder>', 'the data folder of `slipway up`', '.slipway')
}

async function withKeys(options: PlaceOptions, act: (keys: Keys) => Promise<void>): Promise<void> {
  await using database = await openDatabase(databaseUrl(resolve(options.data), options.db), ROOMS)
  await act(new Keys({ database, clock: systemClock, newId: () => randomUUID().replaceAll('-', '') }))
}

async function create(
  name: string,
  options: PlaceOptions & { scope: string[]; expires?: string; environment?: string[]; model?: string[] },
): Promise<void> {
  const unknown = options.scope.find((scope) => !(SCOPES as readonly string[]).includes(scope))
  if (unknown !== undefined) throw new SlipwayError('SLW_USAGE', `--scope ${unknown}: expected some of ${SCOPES.join(', ')}`)
  const expiresAt = options.expires === undefined ? undefined : Date.now() + parseDurationMs(options.expires, '--expires')
  await withKeys(options, async (keys) => {
    const first = (await keys.list()).length === 0
    const { key } = await keys.create(
      { environment: 'default', actor: userInfo().username },
      {
        name,
        scopes: options.scope,
        expiresAt,
        environments: options.environment,
        models: options.model,
      },
    )
    print(key)
    if (first && !options.scope.includes('admin'))
      note('It is the first key: nobody gets in without one from now on. One that can make others: slipway keys create NAME --scope admin')
    note('It is shown this once. MLflow clients take it as MLFLOW_TRACKING_TOKEN.')
  })
}

async function list(options: PlaceOptions): Promise<void> {
  await withKeys(options, async (keys) => {
    const rows = (await keys.list()).map((info) => [
      info.id,
      info.name,
      info.prefix,
      info.scopes.join(' '),
      day(info.createdAt),
      info.revokedAt === undefined ? (info.expiresAt === undefined ? 'in force' : `until ${day(info.expiresAt)}`) : 'revoked',
    ])
    print(table(rows, ['id', 'name', 'begins with', 'scopes', 'made', 'state']))
  })
}

async function revoke(id: string, options: PlaceOptions): Promise<void> {
  await withKeys(options, async (keys) => {
    await keys.revoke({ environment: 'default', actor: userInfo().username }, id)
    print(`revoked ${id}`)
  })
}

function day(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10)
}
