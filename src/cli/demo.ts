import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from '../core/entry.ts'
import { formatMs } from '../core/units.ts'
import { startServer } from '../server/start-server.ts'
import { tuneV8 } from '../server/tune-v8.ts'
import { note, print, style, table } from './output.ts'
import type { Command } from 'commander'
import type { SlipwayServer } from '../server/start-server.ts'

export function define(command: Command): void {
  command
    .option('--port <n>', 'port of the demo server; 0 takes a free one', '0')
    .action(async (options: { port: string }) => demo(Number(options.port)))
}

/** Serves the churn example on a real socket, asks it real questions, shows answers and metrics, and ends. */
async function demo(port: number): Promise<void> {
  tuneV8()
  const example = join(packageRoot(), 'examples', 'churn')
  const started = performance.now()
  note(style('dim', `slipway serve ${example}`))
  await using server = await startServer({ models: [{ path: example, name: 'churn' }], port })
  print(`${style('bold', 'churn')} is served on ${server.url}, ready after ${formatMs(performance.now() - started)}\n`)
  await askRows(server, join(example, 'requests.json'))
  await askWrongly(server)
  await askCsv(server, join(example, 'customers.csv'))
  await burst(server)
  await showMetrics(server)
  print(
    `\nNext:\n  bin/slipway serve examples/churn        the same server, until Ctrl-C\n  open ${style('cyan', 'http://127.0.0.1:8470/docs')}   every route, to try in the browser\n  bin/slipway predict examples/digits --input examples/digits/digit-3.png`,
  )
}

function heading(text: string): void {
  print(style('bold', text))
}

async function post(server: SlipwayServer, body: string, type: string): Promise<{ status: number; answer: unknown }> {
  const response = await fetch(`${server.url}/predict`, { method: 'POST', headers: { 'content-type': type }, body })
  return { status: response.status, answer: await response.json() }
}

interface Prediction {
  readonly prediction: unknown
  readonly confidence: number
}

async function askRows(server: SlipwayServer, file: string): Promise<void> {
  const { inputs } = JSON.parse(await readFile(file, 'utf8')) as { inputs: Record<string, unknown>[] }
  heading('POST /predict, one customer')
  print(`  ${JSON.stringify(inputs[0])}`)
  const { answer } = await post(server, JSON.stringify(inputs[0]), 'application/json')
  print(`  ${style('green', JSON.stringify(answer))}\n`)
}

async function askWrongly(server: SlipwayServer): Promise<void> {
  heading('A mistake is named, and nothing is run')
  const { status, answer } = await post(server, JSON.stringify({ inputs: [{ plan: 'gold' }] }), 'application/json')
  const { issues = [] } = answer as { issues?: { path: string; message: string }[] }
  print(
    `  ${status}  ${issues
      .slice(0, 3)
      .map((issue) => `${issue.path}: ${issue.message}`)
      .join('\n       ')}\n`,
  )
}

async function askCsv(server: SlipwayServer, file: string): Promise<void> {
  heading('A CSV file of customers')
  const { answer } = await post(server, await readFile(file, 'utf8'), 'text/csv')
  const { predictions } = answer as { predictions: Prediction[] }
  const leaving = predictions.filter((row) => row.prediction === 'churn').length
  print(`  ${predictions.length} rows: ${leaving} expected to leave, ${predictions.length - leaving} to stay\n`)
}

/** Many clients at once, so that batches form and the metrics have something to show. */
async function burst(server: SlipwayServer): Promise<void> {
  const clients = 32
  const requestsEach = 25
  const body = await (await fetch(`${server.url}/models/churn/example`)).text()
  const started = performance.now()
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (let request = 0; request < requestsEach; request++) await post(server, body, 'application/json')
    }),
  )
  const seconds = (performance.now() - started) / 1000
  heading(`${clients} clients, ${clients * requestsEach} requests`)
  print(`  ${Math.round((clients * requestsEach) / seconds)} requests a second, this process being client and server alike\n`)
}

async function showMetrics(server: SlipwayServer): Promise<void> {
  heading('GET /metrics (some of them)')
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const wanted = [
    'slipway_rows_total',
    'slipway_batch_rows_sum',
    'slipway_batch_rows_count',
    'slipway_request_duration_seconds_count',
    'slipway_rejected_total',
    'slipway_model_load_seconds',
  ]
  const lines = text.split('\n').filter((line) => wanted.some((name) => line.startsWith(`${name}{`)))
  print(
    table(
      lines.map((line) => {
        const end = line.lastIndexOf(' ')
        return [
          `  ${line
            .slice(0, end)
            .replace(/\{endpoint="churn",variant="v1",model="churn",version="1",?/, '{')
            .replace('{}', '')}`,
          line.slice(end + 1),
        ]
      }),
    ),
  )
}
