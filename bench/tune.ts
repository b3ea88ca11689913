/**
 * What `slipway tune` predicts against what is then served: `sh scripts/node bench/tune.ts [--rounds 5] [--budget 30s]
 * [--goal 20ms] [--only churn]`. Each round tunes a yardstick model, starts `slipway serve` with the flags that were
 * found, and measures it with the predicted number of clients. It prints the rounds and their medians, and asserts nothing.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pythonEnv } from '../scripts/python-env.ts'
import { aimAtPredict, closedLoop } from '../src/cli/server/load-generator.ts'
import { exampleBody } from '../src/cli/server/server-client.ts'
import { paceMs, reportMachine } from './machine.ts'
import { MODELS, obtainModels } from './models.ts'
import { launch, packSlipway, slipwayServer } from './servers.ts'
import { formatTable, median, rangeOf } from './table.ts'
import { helpFrom } from '../scripts/help.ts'
import type { TuneResult } from '../src/cli/tune/report.ts'
import type { ModelName } from './models.ts'
import type { Row } from './table.ts'

helpFrom(import.meta.filename)

const SLIPWAY = join(import.meta.dirname, '..', 'bin', 'slipway')
/** What is predicted is a server that has run for a while: in its first seconds code is compiled, and its p99 is twice as high. */
const WARM_UP_SECONDS = 10
const SECONDS = 5

interface Figures {
  readonly perSecond: number
  readonly p99Ms: number
}

interface Round {
  readonly flags: string
  readonly clients: number
  readonly predicted: Figures
  readonly served: Figures
  /** Share of the machine that other programs took while tuning. */
  readonly others: number
  /** How much longer a fixed piece of work took before serving than before tuning: what neighbours on the same hardware cost. */
  readonly pace: number
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    budget: { type: 'string', default: '30s' },
    goal: { type: 'string' },
    only: { type: 'string' },
  },
})

/** The document that `slipway tune --json` prints. */
function tune(model: string): Promise<TuneResult> {
  const goal = options.goal === undefined ? [] : ['--latency-goal', options.goal]
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [SLIPWAY, 'tune', model, '--json', '--budget', options.budget, ...goal], (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as TuneResult)
      else reject(new Error(`slipway tune ${model} ended with ${String(error.code)}: ${stderr}`))
    })
  })
}

/** Serves with the settings that were found, as a user would, and measures with as many clients. */
async function serve(models: string, model: ModelName, { best, predicted }: TuneResult): Promise<Figures> {
  if (best === undefined || predicted === undefined) throw new Error(`${model}: nothing was predicted`)
  const env = {
    SLIPWAY_SERVING_INSTANCES: String(best.instances),
    SLIPWAY_SERVING_THREADS: String(best.threads),
    SLIPWAY_SERVING_MAX_BATCH_SIZE: String(best.maxBatchSize),
  }
  const { folder } = await packSlipway(true)
  const server = await launch(slipwayServer(folder, models, [model], env), { model, body: await readFile(join(models, `${model}.json`)) })
  try {
    const base = new URL(server.url(model)).origin
    await using aim = aimAtPredict({ base, model, body: await exampleBody(base, model) })
    await closedLoop(aim.shoot, predicted.clients, WARM_UP_SECONDS)
    const { requestsPerSecond, p99Ms, errors } = await closedLoop(aim.shoot, predicted.clients, SECONDS)
    if (errors > 0) throw new Error(`${model}: ${errors} errors`)
    return { perSecond: requestsPerSecond, p99Ms }
  } finally {
    await server.stop()
  }
}

async function measure(models: string, model: ModelName): Promise<Round> {
  const before = paceMs()
  const found = await tune(join(models, `${model}.onnx`))
  const after = paceMs()
  const served = await serve(models, model, found)
  const { predicted, flags = '' } = found
  if (predicted === undefined) throw new Error(`${model}: nothing was predicted`)
  return {
    flags,
    clients: predicted.clients,
    predicted: { perSecond: predicted.requestsPerSecond, p99Ms: predicted.p99Ms },
    served,
    others: found.othersShare ?? Number.NaN,
    pace: after / before,
  }
}

function describeRound({ flags, clients, predicted, served, others, pace }: Round): string {
  const ratio = (of: keyof Figures): string => (served[of] / predicted[of]).toFixed(2)
  return `${flags}, ${clients} clients: predicted ${predicted.perSecond.toFixed(0)} req/s, p99 ${predicted.p99Ms.toFixed(1)} ms; served ${served.perSecond.toFixed(0)} req/s (${ratio('perSecond')}), p99 ${served.p99Ms.toFixed(1)} ms (${ratio('p99Ms')}); others ${(others * 100).toFixed(0)}%, pace ${pace.toFixed(2)}`
}

/** Served against predicted, the median of the rounds' own ratios: what disturbs the machine for minutes disturbs both sides of a round. */
function rowOf(model: ModelName, rounds: readonly Round[], of: keyof Figures): Row {
  const ratios = rounds.map((round) => round.served[of] / round.predicted[of])
  const show = (side: 'served' | 'predicted'): string => {
    const value = median(rounds.map((round) => round[side][of]))
    return of === 'perSecond' ? `${value.toFixed(0)} req/s` : `${value.toFixed(1)} ms`
  }
  return {
    id: `${model}-${of}`,
    what: `${model}: ${of === 'perSecond' ? 'throughput' : 'p99'}, served (left) against predicted`,
    slipway: show('served'),
    other: show('predicted'),
    value: median(ratios),
    range: rangeOf(ratios),
    unit: '',
    target: of === 'perSecond' ? { bound: 'min', value: 0.85 } : { bound: 'max', value: 1.15 },
    errors: 0,
  }
}

const machine = await reportMachine()
const models = await obtainModels(await pythonEnv('bench'))
const rows: Row[] = []
for (const model of MODELS.filter((name) => options.only === undefined || options.only.split(',').includes(name))) {
  const rounds: Round[] = []
  for (let round = 0; round < Number(options.rounds); round++) {
    rounds.push(await measure(models, model))
    console.error(`${model} round ${round + 1}/${options.rounds}: ${describeRound(rounds.at(-1)!)}`)
  }
  rows.push(rowOf(model, rounds, 'perSecond'), rowOf(model, rounds, 'p99Ms'))
}
console.log(
  `Node ${machine.node}, ${machine.cores} x ${machine.cpu}; ${(machine.busyBefore * 100).toFixed(0)}% busy before\n${options.rounds} rounds, budget ${options.budget}, goal ${options.goal ?? 'none'}; medians of the rounds\n\n${formatTable(rows)}`,
)
