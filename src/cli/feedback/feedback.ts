import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { parse } from 'csv-parse'
import { check } from '../../contract/schema.ts'
import { FeedbackItem } from '../../contract/feedback.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { asksRegistry, clientOf, part, show, time } from '../control-plane/registry-command.ts'
import { table } from '../output.ts'
import { parquetRows } from '../../records/parquet.ts'
import type { Command } from 'commander'
import type { FeedbackAnswer, FeedbackReport } from '../../contract/feedback.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

/** Labels of one request. */
const BATCH = 2000
/** Refusals that are told one by one. */
const TOLD_MAX = 10

interface Sent {
  readonly accepted: number
  readonly refused: number
}

const sentView: View<Sent> = {
  kind: 'FeedbackSent',
  name: () => 'labels',
  header: ['accepted', 'refused'],
  row: ({ accepted, refused }) => [String(accepted), String(refused)],
}

const reportView: View<FeedbackReport> = {
  kind: 'FeedbackReport',
  name: ({ endpoint }) => endpoint,
  header: ['endpoint', 'labels'],
  row: ({ endpoint, versions }) => [endpoint, String(versions.reduce((sum, { labels }) => sum + labels, 0))],
}

export function define(command: Command): void {
  asksRegistry(command.command('send').description('send the true outcomes of predictions, of a file').argument('<file>'), {
    changes: true,
  })
    .addHelpText(
      'after',
      '\nThe file is CSV with the columns id, label, and if known time and weight; Parquet with these columns (.parquet), or lines of JSON with\nthese keys (.jsonl). id is what the answer had as slipway-prediction-id. Times are milliseconds since 1970 or ISO 8601. To send a file again changes nothing.\n\nExamples:\n  slipway feedback send labels.csv\n  slipway feedback show churn',
    )
    .action(send)
  asksRegistry(
    command.command('show').description('how often versions were right, and for how many predictions that is known').argument('<endpoint>'),
  ).action(async (endpoint: string, options: RegistryOptions) => {
    const client = await clientOf(options)
    const report = await client.ask<FeedbackReport>(`/endpoints/${part(endpoint)}/feedback`)
    show(report, reportView, options, reportText(report))
  })
}

async function send(file: string, options: RegistryOptions): Promise<void> {
  await stat(file).catch(() => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${file} is not there, or cannot be read`)
  })
  const client = await clientOf(options)
  let [accepted, refused, first] = [0, 0, 0]
  const told: string[] = []
  let batch: FeedbackItem[] = []
  const sendBatch = async (): Promise<void> => {
    const answer = await client.ask<FeedbackAnswer>('/feedback', { method: 'POST', body: { feedback: batch } }).catch((error: unknown) => {
      // One that is sent alone and is refused is an error of the whole request.
      if (batch.length !== 1 || !(error instanceof SlipwayError) || error.code !== 'SLW_INPUT_INVALID') throw error
      return { accepted: 0, refused: [{ index: 0, message: error.message }] }
    })
    accepted += answer.accepted
    refused += answer.refused.length
    for (const { index, message } of answer.refused.slice(0, TOLD_MAX - told.length)) told.push(`label ${first + index + 1}: ${message}`)
    first += batch.length
    batch = []
  }
  for await (const item of itemsOf(file)) {
    batch.push(item)
    if (batch.length === BATCH) await sendBatch()
  }
  if (batch.length > 0) await sendBatch()
  const text = [`${accepted} labels are kept`, ...(refused === 0 ? [] : [`${refused} were refused:`, ...told])].join('\n')
  show({ accepted, refused }, sentView, options, text)
  if (refused > 0) process.exitCode = 1
}

/** The labels of a file, each checked. @throws SLW_INPUT_INVALID with the line */
async function* itemsOf(file: string): AsyncIterable<FeedbackItem> {
  const isCsv = !/\.(jsonl|ndjson|parquet)$/i.test(file)
  // CSV has a header line.
  let line = isCsv ? 1 : 0
  for await (const record of isCsv ? csvOf(file) : /\.parquet$/i.test(file) ? parquetRows(file) : jsonOf(file)) {
    line++
    const checked = check(FeedbackItem, record)
    if ('value' in checked) yield checked.value
    else {
      const [issue] = checked.issues
      throw new SlipwayError('SLW_INPUT_INVALID', `${file}, line ${line}: ${issue?.path === '' ? '' : `${issue?.path}: `}${issue?.message}`)
    }
  }
}

async function* jsonOf(file: string): AsyncIterable<unknown> {
  let line = 0
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    line++
    if (text.trim() === '') continue
    try {
      const { time: at, ...rest } = JSON.parse(text) as Record<string, unknown>
      yield { ...rest, ...(at !== undefined && { time: timeOf(at) }) }
    } catch (error) {
      throw new SlipwayError('SLW_INPUT_INVALID', `${file}, line ${line}: ${messageOf(error)}`)
    }
  }
}

/** Labels that are numbers are numbers, as in JSON; empty cells are left out. */
async function* csvOf(file: string): AsyncIterable<unknown> {
  const parser = createReadStream(file).pipe(parse({ columns: true, bom: true, trim: true, skip_empty_lines: true }))
  try {
    for await (const record of parser as AsyncIterable<Record<string, string>>) {
      const { id, label = '', time: at = '', weight = '', ...others } = record
      const [strange] = Object.keys(others)
      if (strange !== undefined) throw new Error(`column "${strange}" is none of id, label, time, weight`)
      const isNumber = label !== '' && Number.isFinite(Number(label))
      yield {
        id,
        ...(label !== '' && { label: isNumber ? Number(label) : label }),
        ...(at !== '' && { time: timeOf(at) }),
        ...(weight !== '' && { weight: Number(weight) }),
      }
    }
  } catch (error) {
    throw new SlipwayError('SLW_INPUT_INVALID', `${file}: ${messageOf(error)}`)
  }
}

function timeOf(value: unknown): unknown {
  if (typeof value !== 'string') return value
  return /^\d+$/.test(value) ? Number(value) : Date.parse(value)
}

function reportText({ endpoint, versions, from, until }: FeedbackReport): string {
  const percent = (share: number | undefined): string => (share === undefined ? '-' : `${(100 * share).toFixed(1)} %`)
  const rows = versions.map(({ variant, model, version, predictions, labels, coverage, accuracy, meanAbsoluteError, delayP50Ms }) => [
    variant,
    `${model}/${version}`,
    String(predictions),
    `${labels} (${percent(coverage)})`,
    percent(accuracy),
    meanAbsoluteError === undefined ? '-' : String(Number(meanAbsoluteError.toPrecision(4))),
    delayP50Ms === undefined ? '-' : delayText(delayP50Ms),
  ])
  const header = ['variant', 'version', 'predictions', 'labels', 'right', 'off by', 'label after']
  return `${endpoint}, predictions of ${time(from)} to ${time(until)}\n\n${table(rows, header)}`
}

function delayText(ms: number): string {
  const units: readonly (readonly [number, string])[] = [
    [86_400_000, 'days'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ]
  const [size, unit] = units.find(([one]) => ms >= 2 * one) ?? [1000, 's']
  return `${(ms / size).toFixed(1)} ${unit}`
}
