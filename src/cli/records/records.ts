import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { extname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { note, print } from '../output.ts'
import { asksRegistry, change, clientOf, momentOf, part, showList, time } from '../control-plane/registry-command.ts'
import type { Command } from 'commander'
import type { PredictionRecord } from '../../contract/prediction-record.ts'
import type { WorkAnswer } from '../../contract/work-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

interface TailOptions extends RegistryOptions {
  readonly limit: string
  readonly follow?: boolean
}

interface ExportOptions extends RegistryOptions {
  readonly from?: string
  readonly until?: string
  readonly file: string
}

const LOOK_EVERY_MS = 1000
/** Records that are looked at for new ones. */
const FOLLOWED = 1000
const VALUES_CHARACTERS = 60

const recordView: View<PredictionRecord> = {
  kind: 'PredictionRecord',
  name: ({ id }) => id,
  header: ['when', 'record', 'version', 'unit', 'rows', 'ms', 'inputs', 'outputs'],
  none: 'no records',
  row: ({ time: at, id, model, version, unit = '', rows, durationMs, inputs, outputs }) => [
    time(at),
    id,
    `${model}/${version}`,
    unit,
    String(rows),
    String(Math.round(durationMs * 10) / 10),
    shortened(inputs),
    shortened(outputs),
  ],
}

export function define(command: Command): void {
  asksRegistry(command.command('tail').description('what an endpoint was asked and answered last').argument('<endpoint>'))
    .option('--limit <n>', 'how many', '20')
    .option('--follow', 'go on with those that arrive from now on, one line each')
    .action(tail)
  asksRegistry(command.command('export').description('the records of an endpoint as one file').argument('<endpoint>'))
    .requiredOption('--file <path>', 'to be written: .parquet, .jsonl or .csv')
    .option('--from <moment>', 'not before')
    .option('--until <moment>', 'before')
    .action(exported)
  asksRegistry(command.command('forget').description('remove every record of a unit').argument('<unit>'), { changes: true }).action(forget)
}

function shortened(values: object): string {
  const text = JSON.stringify(values)
  return text.length > VALUES_CHARACTERS ? `${text.slice(0, VALUES_CHARACTERS)}...` : text
}

async function tail(endpoint: string, options: TailOptions): Promise<void> {
  const client = await clientOf(options)
  const newest = async (limit: string | number) =>
    await client.ask<{ items: PredictionRecord[]; total: number }>('/records', { query: { endpoint, limit } })
  const { items, total } = await newest(options.limit)
  if (options.follow !== true) {
    showList(items, recordView, options, total)
    return
  }
  // Some of these may not be among those that were shown.
  let seen = new Set((await newest(FOLLOWED)).items.map(({ id }) => id))
  for (const record of items.toReversed()) printLine(record, options)
  for (;;) {
    await pause(LOOK_EVERY_MS)
    try {
      const { items: latest } = await newest(FOLLOWED)
      for (const record of latest.toReversed()) if (!seen.has(record.id)) printLine(record, options)
      seen = new Set(latest.map(({ id }) => id))
    } catch (error) {
      if (!isSlipwayError(error) || !error.kind.retry) throw error
      note('the connection is gone; trying again')
    }
  }
}

function printLine(record: PredictionRecord, { output }: RegistryOptions): void {
  print(output === 'table' ? recordView.row(record).join('  ') : JSON.stringify(record))
}

async function exported(endpoint: string, options: ExportOptions): Promise<void> {
  const { file } = options
  const format = extname(file).slice(1)
  if (!['parquet', 'jsonl', 'csv'].includes(format))
    throw new SlipwayError('SLW_USAGE', `--file ${file}: expected a name that ends in .parquet, .jsonl or .csv`)
  const query = {
    endpoint,
    format,
    from: options.from === undefined ? undefined : momentOf(options.from, '--from'),
    until: options.until === undefined ? undefined : momentOf(options.until, '--until'),
  }
  const response = await (await clientOf(options)).open('/records/export', { query })
  // A file that was cut off is none.
  const partial = `${file}.partial`
  try {
    await pipeline(Readable.fromWeb(response.body as never), createWriteStream(partial))
    await rename(partial, file)
  } catch (error) {
    await rm(partial, { force: true })
    throw new SlipwayError('SLW_UNREACHABLE', `the records of "${endpoint}" did not come whole, and ${file} is not written: ask again`, {
      cause: error,
    })
  }
  note(`${file} is written`)
}

async function forget(unit: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  const begun = await change<{ work: string }>(options, client, { method: 'POST', path: '/records/forget', body: { unit } })
  if (begun === undefined) return
  const { records, partitions } = await ended(client, begun.work)
  print(`${records} records are removed, and ${partitions} partitions written anew`)
}

async function ended(client: RegistryClient, id: string): Promise<{ readonly records: number; readonly partitions: number }> {
  for (;;) {
    const { state, result, error = '' } = await client.ask<WorkAnswer>(`/work/${part(id)}`)
    if (state === 'done') return result as { records: number; partitions: number }
    if (state !== 'waiting' && state !== 'running')
      throw new SlipwayError('SLW_CONFLICT', `the records are not all removed: ${error}; go on with slipway work retry ${id}`)
    await pause(LOOK_EVERY_MS / 4)
  }
}
