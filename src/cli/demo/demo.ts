import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { packageRoot } from '../../core/entry.ts'
import { formatMs } from '../../core/units.ts'
import { Crowd } from './crowd.ts'
import { showControlPlane } from './control-plane.ts'
import { startServer } from '../../server/start-server.ts'
import { tuneV8 } from '../../server/tune-v8.ts'
import { note, print, style, table } from '../output.ts'
import { switchTimes } from '../server/switch-answer.ts'
import type { Command } from 'commander'
import type { SwitchAnswer } from '../server/switch-answer.ts'
import type { SlipwayServer } from '../../server/start-server.ts'

export function define(command: Command): void {
  command
    .option('--port <n>', 'port of the demo server; 0 takes a free one', '0')
    .action(async (options: { port: string }) => demo(Number(options.port)))
}

/**
 * Serves the churn example on a real socket, sends it real requests, changes its version under load, shows metrics, and ends; then
 * serves the same model from a control plane, with a server that follows, and rolls out a good version and a bad one.
 */
async function demo(port: number): Promise<void> {
  tuneV8({ memoryBudget: false })
  const example = join(packageRoot(), 'examples', 'churn')
  const folder = await mkdtemp(join(tmpdir(), 'slipway-demo-'))
  await using cleanUp = new AsyncDisposableStack()
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }))
  await cp(example, join(folder, 'churn', '1'), { recursive: true })
  const started = performance.now()
  note(style('dim', 'a server in this process, with a copy of examples/churn as version 1'))
  const server = cleanUp.use(
    await startServer({
      models: [{ path: join(folder, 'churn'), name: 'churn' }],
      port,
      environment: { SLIPWAY_ADMIN_TOKEN: ADMIN_TOKEN },
      shutdown: { pauseMs: 300, graceMs: 10_000 },
    }),
  )
  print(`${style('bold', 'churn')} is served on ${server.url}, ready after ${formatMs(performance.now() - started)}\n`)
  await askRows(server, join(example, 'requests.json'))
  await askWrongly(server)
  await askCsv(server, join(example, 'customers.csv'))
  await cp(example, join(folder, 'churn', '2'), { recursive: true })
  let failed = await changeUnderLoad(server, join(folder, 'churn', '2'))
  await showMetrics(server)
  failed += await stopUnderLoad(server)
  // What follows takes a minute, and shows nothing to somebody whose requests fail.
  if (failed === 0) failed = await showControlPlane(folder, example)
  if (failed > 0) {
    note(style('red', `${failed} requests failed, and none should`))
    process.exitCode = 1
    return
  }
  print(
    `\nNext:\n  bin/slipway serve examples/churn        the same server, until Ctrl-C\n  open ${style('cyan', 'http://127.0.0.1:8470/docs')}         every route, to try in the browser\n  docs/guides/years.md                    versions, switches, memory, overload, logs, metrics\n  docs/guides/control-plane.md            endpoints, servers that follow, environments, roles\n  docs/guides/rollouts.md                 new versions step by step, and back where they are worse`,
  )
}

/** Admin token of this run only. */
const ADMIN_TOKEN = randomBytes(16).toString('hex')

function heading(text: string): void {
  print(style('bold', text))
}

/** @throws Error where the answer has another status than it should */
async function post(server: SlipwayServer, { body, type, status }: { body: string; type: string; status: number }): Promise<unknown> {
  const response = await fetch(`${server.url}/predict`, { method: 'POST', headers: { 'content-type': type }, body })
  const answer: unknown = await response.json()
  if (response.status !== status)
    throw new Error(`POST /predict answers ${response.status} instead of ${status}: ${JSON.stringify(answer)}`)
  return answer
}

interface Prediction {
  readonly prediction: unknown
  readonly confidence: number
}

async function askRows(server: SlipwayServer, file: string): Promise<void> {
  const { inputs } = JSON.parse(await readFile(file, 'utf8')) as { inputs: Record<string, unknown>[] }
  heading('POST /predict, one customer')
  print(`  ${JSON.stringify(inputs[0])}`)
  const answer = await post(server, { body: JSON.stringify(inputs[0]), type: 'application/json', status: 200 })
  print(`  ${style('green', JSON.stringify(answer))}\n`)
}

async function askWrongly(server: SlipwayServer): Promise<void> {
  heading('A mistake is named, and nothing is run')
  const status = 400
  const answer = await post(server, { body: JSON.stringify({ inputs: [{ plan: 'gold' }] }), type: 'application/json', status })
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
  const answer = await post(server, { body: await readFile(file, 'utf8'), type: 'text/csv', status: 200 })
  const { predictions } = answer as { predictions: Prediction[] }
  const leaving = predictions.filter((row) => row.prediction === 'churn').length
  print(`  ${predictions.length} rows: ${leaving} expected to leave, ${predictions.length - leaving} to stay\n`)
}

/** Switches to another version while many clients send requests. @returns how many of these failed */
async function changeUnderLoad(server: SlipwayServer, path: string): Promise<number> {
  const clients = 32
  heading(`POST /admin/switch_model, while ${clients} clients ask`)
  const crowd = new Crowd(server, [await (await fetch(`${server.url}/models/churn/example`)).text()], { clients })
  await pause(700)
  const response = await fetch(`${server.url}/admin/switch_model`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    body: JSON.stringify({ model: 'churn', model_path: path }),
  })
  const answer = (await response.json()) as SwitchAnswer
  await pause(700)
  await crowd.stop()
  print(`  version ${answer.old?.version} to ${answer.new?.version}: ${style('green', switchTimes(answer))}`)
  const answered = [...crowd.versions].map(([version, n]) => `${n} by version ${version}`).join(', ')
  print(
    `  ${crowd.requests} requests, ${crowd.perSecond} a second (client and server in one process): ${answered}, ${crowd.failed} failed\n`,
  )
  return crowd.failed
}

/** Stops as SIGTERM does: unready at once, every accepted request is answered, connections are told to close. @returns how many requests failed */
async function stopUnderLoad(server: SlipwayServer): Promise<number> {
  const clients = 16
  print('')
  heading(`Stopping, while ${clients} clients ask`)
  const crowd = new Crowd(server, [await (await fetch(`${server.url}/models/churn/example`)).text()], { clients })
  await pause(500)
  const started = performance.now()
  const clean = server.drain()
  await pause(50)
  const ready = (await fetch(`${server.url}/ready`)).status
  const all = await clean
  await crowd.left()
  print(
    `  /ready ${ready} at once; ${crowd.requests} requests answered, ${crowd.failed} failed; ${all ? 'all in flight finished' : 'some were cut off'} in ${formatMs(performance.now() - started)}`,
  )
  return crowd.failed
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
    'slipway_switches_total',
  ]
  const lines = text.split('\n').filter((line) => wanted.some((name) => line.startsWith(`${name}{`)))
  print(
    table(
      lines.map((line) => {
        const end = line.lastIndexOf(' ')
        return [
          `  ${line
            .slice(0, end)
            .replace(/\{endpoint="churn",(variant="v\d+",model="churn",)?/, '{')
            .replace('{}', '')}`,
          line.slice(end + 1),
        ]
      }),
    ),
  )
}
