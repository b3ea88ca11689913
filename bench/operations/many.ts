/** Many small models in one server: how long it takes to start, what each takes, and what an unloaded one makes its caller wait. */
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { processTree, residentMemory } from '../machine.ts'
import { launch, slipwayServing } from '../servers.ts'
import { median, rangeOf } from '../table.ts'
import { note, pause, scrape, serve, sumOf } from './bench.ts'
import { quantile } from './figures.ts'
import type { RunningServer } from '../servers.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'

const MODELS = 200
const RESIDENT = 20
const WARM_PER_MODEL = 5
/** Starts are few: each takes a while. */
const STARTS_MAX = 3
const START_TIMEOUT_MS = 600_000
const POLL_MS = 50
const SETTLE_MS = 2000

/** Copies of churn, `m000` and so on: a folder of each. */
async function makeModels({ models, scratch }: OperationsBench): Promise<{ folder: string; names: readonly string[] }> {
  const folder = join(scratch, 'many')
  const names = Array.from({ length: MODELS }, (_, index) => `m${String(index).padStart(3, '0')}`)
  for (const name of names) {
    await mkdir(join(folder, name), { recursive: true })
    await copyFile(join(models, 'churn.onnx'), join(folder, name, 'model.onnx'))
  }
  return { folder, names }
}

interface Started {
  readonly server: RunningServer
  /** From the start of the process until every model that fits is ready. */
  readonly readyMs: number
}

/** @param budgetMb undefined: no limit */
async function startMany(bench: OperationsBench, folder: string, budgetMb: number | undefined): Promise<Started> {
  const env: Record<string, string> = {
    SLIPWAY_SERVING_INSTANCES: '1',
    SLIPWAY_SHUTDOWN_PAUSE_MS: '0',
    ...(budgetMb === undefined ? {} : { SLIPWAY_MEMORY_BUDGET_MB: String(budgetMb) }),
  }
  const body = await readFile(join(bench.models, 'churn.json'))
  const started = performance.now()
  const launching = { ...slipwayServing(bench.packed, [folder], env), startTimeoutMs: START_TIMEOUT_MS }
  const server = await launch(launching, { model: 'm000', body })
  try {
    for (;;) {
      const ready = await fetch(`${server.origin}/v2/health/ready`)
      const settled = linesOf(await scrape(server), 'slipway_model_ready')
      if (ready.ok && settled.length === MODELS && (budgetMb !== undefined || settled.every((line) => line.endsWith(' 1')))) break
      if (performance.now() - started > START_TIMEOUT_MS) throw new Error(`not all models were ready within ${START_TIMEOUT_MS / 1000} s`)
      await pause(POLL_MS)
    }
  } catch (error) {
    await server.stop()
    throw error
  }
  return { server, readyMs: performance.now() - started }
}

/** The series of a metric. One that is not in memory counts as ready, and has no size. */
function linesOf(exposition: string, name: string): readonly string[] {
  return exposition.split('\n').filter((line) => line.startsWith(`${name}{`))
}

interface Start {
  readonly readyMs: number
  readonly pss: number
  readonly rss: number
  /** As the server measures it. */
  readonly measuredMib: number
}

async function measureStart(bench: OperationsBench): Promise<Figure[]> {
  const { folder } = await makeModels(bench)
  const starts: Start[] = []
  const bare: number[] = []
  for (let index = 0; index < Math.min(bench.rounds, STARTS_MAX); index++) {
    {
      await using one = await serve(bench, 'churn', { SLIPWAY_SERVING_INSTANCES: '1' })
      await pause(SETTLE_MS)
      bare.push(residentMemory(processTree(one.pid)).pss)
    }
    const { server, readyMs } = await startMany(bench, folder, undefined)
    await using _server = server
    await pause(SETTLE_MS)
    const measuredMib = sumOf(await scrape(server), 'slipway_memory_used_bytes') / MODELS / 1024 / 1024
    starts.push({ readyMs, measuredMib, ...residentMemory(processTree(server.pid)) })
    note(`many start ${index + 1}: ${JSON.stringify(starts.at(-1))}, with one model ${bare.at(-1)?.toFixed(0)} MiB`)
  }
  const ready = starts.map((start) => start.readyMs / 1000)
  const each = starts.map((start, index) => (start.pss - bare[index]!) / (MODELS - 1))
  return [
    {
      id: 'ops.many.start',
      what: `${MODELS} copies of churn in one instance each: from the start of the process until all are ready`,
      value: median(ready),
      unit: ' s',
      range: rangeOf(ready),
      target: undefined,
      errors: 0,
      from: `${((median(ready) * 1000) / MODELS).toFixed(0)} ms a model`,
    },
    {
      id: 'ops.many.memory',
      what: `memory (Pss) a model, of ${MODELS} against one`,
      value: median(each),
      unit: ' MiB',
      range: rangeOf(each),
      target: undefined,
      errors: 0,
      from: `Pss ${median(starts.map((start) => start.pss)).toFixed(0)} MiB, RSS ${median(starts.map((start) => start.rss)).toFixed(0)} MiB; with one model ${median(bare).toFixed(0)} MiB; the server itself measures ${median(starts.map((start) => start.measuredMib)).toFixed(1)} MiB a model`,
    },
  ]
}

/** Milliseconds until the answer was complete. @throws when it is not 200 */
function ask(server: RunningServer, model: string, body: Buffer, agent: Agent): Promise<number> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    const sent = request(server.url(model), { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.once('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - started)
        else reject(new Error(`${model} answered ${response.statusCode}`))
      })
    })
    sent.once('error', reject)
    sent.end(body)
  })
}

/** The budget for a few models: what they take where there is no limit. `bare`: Pss of that server without them, MiB. */
async function budgetFor(bench: OperationsBench): Promise<{ mb: number; bare: number }> {
  const folder = join(bench.scratch, 'many')
  const sources = Array.from({ length: RESIDENT }, (_, index) => join(folder, `m${String(index).padStart(3, '0')}`))
  const body = await readFile(join(bench.models, 'churn.json'))
  const launching = slipwayServing(bench.packed, sources, { SLIPWAY_SERVING_INSTANCES: '1', SLIPWAY_SHUTDOWN_PAUSE_MS: '0' })
  await using server = await launch(launching, { model: 'm000', body })
  for (;;) {
    const exposition = await scrape(server)
    if (linesOf(exposition, 'slipway_model_memory_bytes').length === RESIDENT) {
      const usedMib = sumOf(exposition, 'slipway_memory_used_bytes') / 1024 / 1024
      return { mb: Math.ceil(usedMib), bare: Math.max(0, residentMemory(processTree(server.pid)).pss - usedMib) }
    }
    await pause(POLL_MS)
  }
}

async function measureCold(bench: OperationsBench): Promise<Figure[]> {
  const { folder, names } = await makeModels(bench)
  const { mb, bare } = await budgetFor(bench)
  const body = await readFile(join(bench.models, 'churn.json'))
  const found: { cold: number[]; warm: number[] }[] = []
  const residents: number[] = []
  const held: number[] = []
  let loads = 0
  let readyMs = 0
  {
    const started = await startMany(bench, folder, mb)
    readyMs = started.readyMs
    await using server = started.server
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    try {
      const loadsBefore = sumOf(await scrape(server), 'slipway_model_loads_total', 'result="ok"')
      for (let index = 0; index < bench.rounds; index++) {
        const round = { cold: [] as number[], warm: [] as number[] }
        // In turn, so that whoever is asked is the one that was not asked for longest. Begins with those that did not fit at start.
        for (const name of [...names.slice(names.length / 2), ...names.slice(0, names.length / 2)]) {
          round.cold.push(await ask(server, name, body, agent))
          for (let again = 0; again < WARM_PER_MODEL; again++) round.warm.push(await ask(server, name, body, agent))
        }
        const exposition = await scrape(server)
        residents.push(linesOf(exposition, 'slipway_model_memory_bytes').length)
        loads = sumOf(exposition, 'slipway_model_loads_total', 'result="ok"') - loadsBefore
        held.push(residentMemory(processTree(server.pid)).pss - bare)
        found.push(round)
        note(
          `many cold ${index + 1}/${bench.rounds}: cold p50 ${quantile(round.cold, 0.5).toFixed(1)} ms, p99 ${quantile(round.cold, 0.99).toFixed(1)} ms; warm p50 ${quantile(round.warm, 0.5).toFixed(2)} ms, p99 ${quantile(round.warm, 0.99).toFixed(2)} ms; ${residents.at(-1)} models in memory`,
        )
      }
    } finally {
      agent.destroy()
    }
  }
  const asked = found.length * MODELS
  const from = `budget ${mb} MB, ${median(residents)} models in memory, ready after ${(readyMs / 1000).toFixed(1)} s; ${loads} loads for ${asked} first requests; one request at a time`
  const figure = (kind: 'cold' | 'warm', share: number): Figure => {
    const value = (values: readonly number[]): number => quantile(values, share)
    return {
      id: `ops.many.${kind}.p${share * 100}`,
      what: `${MODELS} models, memory for about ${RESIDENT}: p${share * 100} of ${kind === 'cold' ? 'the first answer of a model that was not in memory' : 'the next answers'}`,
      value: value(found.flatMap((round) => round[kind])),
      unit: ' ms',
      range: rangeOf(found.map((round) => value(round[kind]))),
      target: undefined,
      // A first request that caused no load was none.
      errors: Math.max(0, asked - loads),
      from,
    }
  }
  const overruns = held.map((mib) => mib / mb)
  return [
    figure('cold', 0.5),
    figure('cold', 0.99),
    figure('warm', 0.5),
    figure('warm', 0.99),
    {
      id: 'ops.many.budget',
      what: `${MODELS} models, memory for about ${RESIDENT}: memory (Pss) beyond that of the server without models, against the budget`,
      value: median(overruns),
      unit: '',
      range: rangeOf(overruns),
      target: undefined,
      errors: 0,
      from: `${median(held).toFixed(0)} MiB for ${median(residents)} models, budget ${mb} MiB, the server without models ${bare.toFixed(0)} MiB`,
    },
  ]
}

export const MANY: readonly Part[] = [
  { ids: ['ops.many.start', 'ops.many.memory'], measure: measureStart },
  { ids: ['ops.many.cold.p50', 'ops.many.cold.p99', 'ops.many.warm.p50', 'ops.many.warm.p99', 'ops.many.budget'], measure: measureCold },
]
