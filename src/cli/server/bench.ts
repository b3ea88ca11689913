import { readFile } from 'node:fs/promises'
import { SlipwayError } from '../../core/errors.ts'
import { formatMs } from '../../core/units.ts'
import { loadModel } from '../../library/load-model.ts'
import { sampleOf } from '../../signature/example.ts'
import { aimAtPredict, closedLoop, openLoop } from './load-generator.ts'
import { print, table } from '../output.ts'
import { exampleBody, onlyModel } from './server-client.ts'
import type { Command } from 'commander'
import type { Aim, LoadResult, Shot } from './load-generator.ts'

interface BenchOptions {
  readonly connections: string
  readonly duration: string
  readonly rate?: string
  readonly model?: string
  readonly body?: string
  readonly apiKey?: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .argument('<target>', 'URL of a running server (http://127.0.0.1:8470), or a model file or folder')
    .option('-c, --connections <list>', 'clients at once; several are measured one after the other', '1,8,32')
    .option('-d, --duration <seconds>', 'seconds for each', '5')
    .option('-r, --rate <n>', 'open loop: so many requests a second, whatever the answers do')
    .option('-m, --model <name>', 'model of the server. Default: the only one')
    .option('-b, --body <file>', 'JSON body to send. Default: the example of the model')
    .option('--api-key <key>', 'key that the server asks for, sent as Authorization: Bearer')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nClosed loop (the default): each client sends its next request when the last is answered. Open loop (--rate): requests\nstart on a schedule, and a late start counts as waiting, so that a stalled server cannot hide its queue (coordinated omission).',
    )
    .action(bench)
}

async function bench(target: string, options: BenchOptions): Promise<void> {
  await using aim = /^https?:/.test(target) ? await aimAtServer(target, options) : await aimAtModel(target)
  const seconds = positive(options.duration, '--duration')
  const results: LoadResult[] = []
  await closedLoop(aim.shoot, 4, Math.min(2, seconds))
  if (options.rate !== undefined) results.push(await openLoop(aim.shoot, positive(options.rate, '--rate'), seconds))
  else
    for (const connections of options.connections.split(','))
      results.push(await closedLoop(aim.shoot, positive(connections, '--connections'), seconds))
  if (options.json === true)
    print(
      JSON.stringify({
        apiVersion: 'slipway/v1',
        kind: 'BenchResult',
        target,
        results: results.map(({ latency: _latency, ...row }) => row),
      }),
    )
  else
    print(
      table(
        results.map((row) => [
          row.mode,
          String(row.connections),
          row.requestsPerSecond.toFixed(0),
          formatMs(row.p50Ms),
          formatMs(row.p90Ms),
          formatMs(row.p99Ms),
          formatMs(row.maxMs),
          String(row.errors),
        ]),
        ['loop', 'clients', 'req/s', 'p50', 'p90', 'p99', 'max', 'errors'],
      ),
    )
}

function positive(text: string, flag: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new SlipwayError('SLW_USAGE', `${flag}: "${text}" is not a positive number`)
}

async function aimAtServer(url: string, { model: named, body: file, apiKey }: BenchOptions): Promise<Aim> {
  const base = url.replace(/\/$/, '')
  const model = named ?? (await onlyModel(base, apiKey))
  const body = file === undefined ? await exampleBody(base, model, apiKey) : await readFile(file)
  return aimAtPredict({ base, model, body, apiKey })
}

async function aimAtModel(path: string): Promise<Aim> {
  const model = await loadModel(path)
  const sample = sampleOf(model.signature)
  const shoot: Shot = () =>
    model.infer(sample.rows(1)).then(
      () => true,
      () => false,
    )
  return { shoot, [Symbol.asyncDispose]: () => model.close() }
}
