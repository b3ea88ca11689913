import { Agent, request as httpRequest } from 'node:http'
import { readFile } from 'node:fs/promises'
import { Histogram, LATENCY_EDGES, quantile } from '../contract/histogram.ts'
import { SlipwayError } from '../core/errors.ts'
import { formatMs } from '../core/units.ts'
import { loadModel } from '../library/load-model.ts'
import { sampleOf } from '../signature/example.ts'
import { print, table } from './output.ts'
import type { Command } from 'commander'

interface BenchOptions {
  readonly connections: string
  readonly duration: string
  readonly rate?: string
  readonly model?: string
  readonly body?: string
  readonly json?: boolean
}

/** One request; false when it was not answered with success. */
type Shot = () => Promise<boolean>

interface Result {
  readonly mode: string
  readonly connections: number
  readonly requestsPerSecond: number
  readonly errors: number
  readonly p50Ms: number
  readonly p90Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export function define(command: Command): void {
  command
    .argument('<target>', 'URL of a running server (http://127.0.0.1:8470), or a model file or folder')
    .option('-c, --connections <list>', 'clients at once; several are measured one after the other', '1,8,32')
    .option('-d, --duration <seconds>', 'seconds for each', '5')
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
  const seconds = positive(options.duration, '--duration')
  const results: Result[] = []
  await closedLoop(aim.shoot, 4, Math.min(2, seconds))
  if (options.rate !== undefined) results.push(await openLoop(aim.shoot, positive(options.rate, '--rate'), seconds))
  else
    for (const connections of options.connections.split(','))
      results.push(await closedLoop(aim.shoot, positive(connections, '--connections'), seconds))
  if (options.json === true) print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'BenchResult', target, results }))
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

/** Latencies and errors of one measurement. */
class Tally {
  readonly #latency = new Histogram(LATENCY_EDGES)
  #maxMs = 0
  errors = 0

  add(ms: number, ok: boolean): void {
    this.#latency.observe(ms / 1000)
    this.#maxMs = Math.max(this.#maxMs, ms)
    if (!ok) this.errors++
  }

  result(mode: string, connections: number, seconds: number): Result {
    const data = this.#latency.snapshot()
    const at = (q: number): number => Math.min(this.#maxMs, quantile(data, q) * 1000)
    return {
      mode,
      connections,
      requestsPerSecond: data.count / seconds,
      errors: this.errors,
      p50Ms: at(0.5),
      p90Ms: at(0.9),
      p99Ms: at(0.99),
      maxMs: this.#maxMs,
    }
  }
}

async function closedLoop(shoot: Shot, connections: number, seconds: number): Promise<Result> {
  const tally = new Tally()
  const started = performance.now()
  const end = started + seconds * 1000
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < end) {
        const shotAt = performance.now()
        const ok = await shoot()
        tally.add(performance.now() - shotAt, ok)
      }
    }),
  )
  return tally.result('closed', connections, (performance.now() - started) / 1000)
}

/** Latency counts from the moment a request should have started. */
async function openLoop(shoot: Shot, rate: number, seconds: number): Promise<Result> {
  const tally = new Tally()
  const total = Math.floor(rate * seconds)
  const started = performance.now()
  const pending: Promise<void>[] = []
  let most = 0
  let inFlight = 0
  for (let index = 0; index < total; index++) {
    const dueAt = started + (index * 1000) / rate
    const early = dueAt - performance.now()
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early))
    most = Math.max(most, ++inFlight)
    pending.push(
      shoot().then((ok) => {
        inFlight--
        tally.add(performance.now() - dueAt, ok)
      }),
    )
  }
  await Promise.all(pending)
  return tally.result('open', most, (performance.now() - started) / 1000)
}

interface Aim extends AsyncDisposable {
  readonly shoot: Shot
}

async function aimAtServer(url: string, options: BenchOptions): Promise<Aim> {
  const base = url.replace(/\/$/, '')
  const model = options.model ?? (await onlyModel(base))
  const body = options.body === undefined ? await (await reach(`${base}/models/${model}/example`)).text() : await readFile(options.body)
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const target = new URL(`${base}/models/${model}/predict`)
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const shoot: Shot = () =>
    new Promise((resolve) => {
      const request = httpRequest(target, { method: 'POST', agent, headers }, (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode === 200))
      })
      request.on('error', () => resolve(false))
      request.end(body)
    })
  return { shoot, [Symbol.asyncDispose]: async () => agent.destroy() }
}

async function reach(url: string, init?: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, init)
  } catch (error) {
    throw new SlipwayError('SLW_UNREACHABLE', `${url} does not answer; is the server running?`, { cause: error })
  }
  if (!response.ok) throw new SlipwayError('SLW_UNREACHABLE', `${url} answers ${response.status}: ${await response.text()}`)
  return response
}

async function onlyModel(base: string): Promise<string> {
  const index = (await (await reach(`${base}/v2/repository/index`, { method: 'POST', body: '{"ready":true}' })).json()) as {
    name: string
  }[]
  const names = [...new Set(index.map((entry) => entry.name))]
  const [name] = names
  if (name === undefined || names.length > 1)
    throw new SlipwayError('SLW_USAGE', `the server has ${names.length} models (${names.join(', ')}); choose one with --model`)
  return name
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
