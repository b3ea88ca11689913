import { readFileSync, statSync } from 'node:fs'
import { API_VERSION } from '../../contract/schema.ts'
import { resolveServing } from '../../contract/serving-options.ts'
import { usableCores } from '../../core/cores.ts'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { formatMs, parseDurationMs } from '../../core/units.ts'
import { findPackages } from '../../model/layout.ts'
import { readPackage } from '../../model/package.ts'
import { readConfig } from '../../server/config.ts'
import { note, print } from '../output.ts'
import { candidatesFor, flagsOf } from './candidates.ts'
import { watchOthers } from './others-share.ts'
import { Progress } from './progress.ts'
import { doubts, gainOf, resultTable, verdict } from './report.ts'
import { Search } from './search.ts'
import { TrialPool } from './trial-pool.ts'
import { packageFileOf, writeServing } from './write-serving.ts'
import type { Command } from 'commander'
import type { PackageLocation } from '../../model/package.ts'
import type { ReadConfig } from '../../server/config.ts'
import type { Candidate } from './candidates.ts'
import type { TuneResult } from './report.ts'
import type { TrialFacts } from './trial.ts'

interface TuneOptions {
  readonly latencyGoal?: string
  readonly budget: string
  readonly body?: string
  readonly config?: string
  readonly dryRun?: boolean
  /** False with --no-write. */
  readonly write: boolean
  readonly json?: boolean
}

/** Inputs shared by all parts of one tuning. */
interface Job {
  readonly location: PackageLocation
  readonly config: ReadConfig
  readonly present: Candidate
  readonly cores: number
  readonly goalMs: number | undefined
  readonly budgetMs: number
  readonly body: string | undefined
  readonly startedAtMs: number
  /** Share of the machine that other programs have taken; called when all trial servers have ended. */
  readonly othersShare: () => number | undefined
}

/** Time limit of the command, in case that a server does not start or a run hangs. */
const HARD_LIMIT = { factor: 2, leastExtraMs: 60_000 }

export function define(command: Command): void {
  command
    .argument('<model>', 'model file or folder')
    .option('-g, --latency-goal <duration>', 'p99 that must hold, e.g. 20ms. Default: none, the highest throughput wins')
    .option('--budget <duration>', 'about how long it may take', '60s')
    .option('-b, --body <file>', 'JSON body to send. Default: the example of the model')
    .option('--config <file>', 'server file. Default: slipway.server.yaml, if there is one')
    .option('--dry-run', 'print only, write nothing')
    .option('--no-write', 'the same as --dry-run')
    .option('--json', 'print a TuneResult document')
    .addHelpText(
      'after',
      '\nServes the model with different instances, threads and batch sizes, each in a process of its own, sends requests from\nthis machine with more and more clients, and writes the best to serving: of slipway.yaml. For a bare .onnx file it prints\nthe flags for slipway serve instead. Exit code 3: no configuration meets the goal, and nothing was changed.\n\nExamples:\n  slipway tune models/churn --latency-goal 20ms\n  slipway tune model.onnx --budget 2m --dry-run',
    )
    .action(tune)
}

async function tune(path: string, options: TuneOptions): Promise<void> {
  const job = await prepare(path, options)
  for (const warning of job.config.warnings) note(`warning: ${warning}`)
  const stop = new AbortController()
  const limitMs = Math.max(job.budgetMs * HARD_LIMIT.factor, job.budgetMs + HARD_LIMIT.leastExtraMs)
  const timer = setTimeout(
    () =>
      stop.abort(new SlipwayError('SLW_DEADLINE_EXCEEDED', `tuning did not end within ${formatMs(limitMs)}; give it a larger --budget`)),
    limitMs,
  )
  const interrupt = (): void => {
    if (stop.signal.aborted) process.exit(130)
    stop.abort(new SlipwayError('SLW_CANCELLED', 'interrupted'))
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  try {
    await run(job, options, stop.signal)
  } finally {
    clearTimeout(timer)
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

async function prepare(path: string, options: TuneOptions): Promise<Job> {
  const startedAtMs = performance.now()
  const othersShare = watchOthers()
  const goalMs = options.latencyGoal === undefined ? undefined : duration(options.latencyGoal, '--latency-goal')
  const budgetMs = duration(options.budget, '--budget')
  const body = options.body === undefined ? undefined : readBody(options.body)
  const config = readConfig({ flags: {}, environment: process.env, file: options.config, modelsNamed: true })
  const found = await findPackages({ path, versions: 'latest' })
  const [location] = found
  if (location === undefined || found.length > 1)
    throw new SlipwayError(
      'SLW_USAGE',
      `${path} holds ${found.length} models (${found.map((model) => model.name).join(', ')}); tune one of its folders`,
    )
  const { document } = await readPackage(location)
  const cores = usableCores().count
  const { instances, threads, maxBatchSize } = resolveServing(cores, document.serving, config.options.serving)
  return { location, config, present: { instances, threads, maxBatchSize }, cores, goalMs, budgetMs, body, startedAtMs, othersShare }
}

function duration(text: string, flag: string): number {
  const ms = parseDurationMs(text, flag)
  if (ms > 0) return ms
  throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected more than nothing, e.g. 20ms, 60s`)
}

function readBody(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `--body ${file}: ${(error as Error).message}`)
  }
}

async function run(job: Job, options: TuneOptions, signal: AbortSignal): Promise<void> {
  const { location, config, present, cores, goalMs, budgetMs, body, startedAtMs } = job
  const { serving, limits } = config.options
  let search: Search | undefined
  let facts: TrialFacts | undefined
  let failure: unknown
  {
    using progress = new Progress(startedAtMs + budgetMs)
    await using pool = new TrialPool({
      body,
      signal,
      server: (candidate) => ({
        models: [{ path: location.path, name: location.name }],
        serving: { ...serving, ...candidate },
        ...(limits !== undefined && { limits }),
      }),
    })
    try {
      progress.step(`starting ${location.name}`)
      ;({ facts } = await pool.acquire(present, 0.1))
      await tryBody(facts, body)
      const candidates = candidatesFor({ cores, batchable: facts.batchable, present })
      search = new Search({ pool, candidates, goalMs, startedAtMs, budgetMs, signal, progress })
      await search.run()
    } catch (error) {
      failure = signal.aborted ? signal.reason : error
    }
  }
  if (search === undefined || facts === undefined) throw failure
  finish(job, options, { search, facts, failure })
}

/** Sends the body once, so that a refusal is reported at once and not as errors of every measurement. */
async function tryBody(facts: TrialFacts, body: string | undefined): Promise<void> {
  if (body === undefined) return
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${facts.url}/models/${facts.model}/predict`, { method: 'POST', headers, body })
  if (!response.ok) throw new SlipwayError('SLW_INPUT_INVALID', `the model refuses the body of --body: ${await response.text()}`)
}

/** Prints the result, and writes it where a winner was found. @throws the error that ended the search early, after printing */
function finish(job: Job, options: TuneOptions, { search, facts, failure }: { search: Search; facts: TrialFacts; failure: unknown }): void {
  const { location, present, cores, goalMs, budgetMs, startedAtMs } = job
  const { best } = search
  const outcome = failure !== undefined || best === undefined ? 'unfinished' : best.score.met ? 'found' : 'goal not met'
  const mayWrite = outcome === 'found' && options.write && options.dryRun !== true
  const file = mayWrite && statSync(location.path).isDirectory() ? packageFileOf(location.path) : undefined
  const result: TuneResult = {
    apiVersion: API_VERSION,
    kind: 'TuneResult',
    model: facts.model,
    version: facts.version,
    path: location.path,
    cores,
    batchable: facts.batchable,
    latencyGoalMs: goalMs,
    budgetMs,
    tookMs: Math.round(performance.now() - startedAtMs),
    othersShare: job.othersShare(),
    outcome,
    present,
    best: best?.candidate,
    flags: best === undefined ? undefined : flagsOf(best.candidate),
    predicted: best?.score.point,
    confirmed: search.confirmation,
    rejected: search.rejected,
    candidates: search.rows.map((row) => ({ ...row, gain: gainOf(row, search.row(present)) })),
    written: file,
  }
  if (file !== undefined && best !== undefined) writeServing(file, valuesOf(best.candidate, facts.batchable))
  if (options.json === true) print(JSON.stringify(result))
  else {
    print(`${facts.model} version ${facts.version} on ${cores} core${cores === 1 ? '' : 's'}; batching: ${facts.batchingReason}\n`)
    print(`${resultTable(search, present)}\n\n${verdict(result)}`)
  }
  for (const doubt of doubts(result)) note(`warning: ${doubt}`)
  say(job, result)
  if (failure !== undefined) throw isSlipwayError(failure) ? failure : new SlipwayError('SLW_INTERNAL', String(failure), { cause: failure })
  if (outcome === 'goal not met') process.exitCode = 3
}

function valuesOf({ instances, threads, maxBatchSize }: Candidate, batchable: boolean): Record<string, number> {
  return batchable ? { instances, threads, maxBatchSize } : { instances, threads }
}

/** Prints whether the result was written, and the next step. */
function say({ config, location }: Job, result: TuneResult): void {
  const { outcome, written, flags } = result
  if (outcome === 'unfinished') note('unfinished: nothing was written')
  else if (outcome === 'goal not met')
    note(
      'hint: a smaller or quantised model, or a faster machine, lowers the latency of one request; --latency-goal may be more than this machine can do. Nothing was written',
    )
  else if (written !== undefined) {
    note(`wrote serving: of ${written}`)
    const stronger = config.origins.filter(({ key }) => /^serving\.(instances|threads|maxBatchSize)$/.test(key))
    for (const { key, origin } of stronger) note(`warning: ${origin} sets ${key} and is over what slipway.yaml says`)
  } else if (statSync(location.path).isFile())
    note(`a bare file has no slipway.yaml to write to (slipway init makes one); serve it so:\n  slipway serve ${location.path} ${flags}`)
  else note(`nothing was written; serve it so:\n  slipway serve ${location.path} ${flags}`)
}
