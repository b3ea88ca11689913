import { readFile } from 'node:fs/promises'
import { SlipwayError } from '../../core/errors.ts'
import { formatMs, parseDurationMs } from '../../core/units.ts'
import { loadModel } from '../../library/load-model.ts'
import { sampleOf } from '../../signature/example.ts'
import { aimAtPredict, closedLoop, kindOf, openLoop } from './load-generator.ts'
import { note, print, table } from '../output.ts'
import { exampleBody, onlyModel, serverKey, withServerCredentials } from './server-client.ts'
import type { Command } from 'commander'
import type { Aim, LoadResult, Shot } from './load-generator.ts'
import type { ServerCredentials } from './server-client.ts'

interface BenchOptions extends ServerCredentials {
  readonly connections: string
  readonly duration: string
  readonly rate?: string
  readonly model?: string
  readonly body?: string
  readonly json?: boolean
}

export function define(command: Command): void {
  withServerCredentials(command)
    .argument('<target>', 'URL of a running server (http://127.0.0.1:8470), or a model file or folder')
    .option('-c, --connections <list>', 'clients at once; several are measured one after the other', '1,8,32')
    .option('-d, --duration <time>', 'how long for each: seconds, or with a unit, such as 500ms or 1m', '5')
    .option('-r, --rate <n>', 'open loop: so many requests a second, whatever the answers do')
    .option('-m, --model <name>', 'model of the server. Default: the only one')
    .option('-b, --body <file>', 'JSON body to send. Default: the example of the model')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nClosed loop (the default): each client sends its next request when the last is answered. Open loop (--rate): requests\nstart on a schedule, and a late start counts as waiting, so that a stalled server cannot hide its queue (coordinated omission).',
    )
    .action(bench)
}

async function bench(target: string, options: BenchOptions): Promise<void> {
  await using aim = /^https?:/.test(target) ? await aimAtServer(target, options) : await aimAtModel(target)
  const seconds = secondsOf(options.duration)
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
  const failures = failuresOf(results)
  if (failures.length === 0) return
  note(`failed: ${failures.join(', ')}`)
  process.exitCode = 1
}

/** Failures of all measurements by kind, the most frequent first, such as `HTTP 429 (12)`. */
function failuresOf(results: readonly LoadResult[]): string[] {
  const counts = new Map<string, number>()
  for (const { failures } of results)
    for (const [kind, count] of Object.entries(failures)) counts.set(kind, (counts.get(kind) ?? 0) + count)
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([kind, count]) => `${kind} (${count})`)
}

/** Seconds of a duration, whose unit is seconds if it has none. */
function secondsOf(text: string): number {
  if (/[a-z]$/.test(text)) return positive(String(parseDurationMs(text, '--duration') / 1000), '--duration')
  return positive(text, '--duration')
}

function positive(text: string, flag: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new SlipwayError('SLW_USAGE', `${flag}: "${text}" is not a positive number`)
}

async function aimAtServer(url: string, { model: named, body: file, ...credentials }: BenchOptions): Promise<Aim> {
  const apiKey = await serverKey(credentials)
  const base = url.replace(/\/$/, '')
  const model = named ?? (await onlyModel(base, apiKey))
  const body = file === undefined ? await exampleBody(base, model, apiKey) : await readFile(file)
  return aimAtPredict({ base, model, body, apiKey })
}

async function aimAtModel(path: string): Promise<Aim> {
  const model = await loadModel(path)
  const sample = sampleOf(model.signature)
  const shoot: Shot = () => model.infer(sample.rows(1)).then(() => undefined, kindOf)
  return { shoot, [Symbol.asyncDispose]: () => model.close() }
}
