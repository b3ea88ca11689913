/**
 * npm run soak [-- --minutes N --seed N]: a day of a server with fifty models in ten minutes. Asks without a pause while
 * versions come and go, instances are killed, clients misbehave; no answer may be wrong, every refusal must be explained
 * by what was done, and nothing may grow.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ADMIN, serveInChild } from '../child-server.ts'
import { ROOT } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { client } from './clients.ts'
import { happen } from './events.ts'
import { createFleet } from './fleet.ts'
import { randomFrom } from './random.ts'
import { growth, median, takeSample } from './samples.ts'
import { Verdict } from './verdict.ts'
import { helpFrom } from '../../scripts/help.ts'
import type { ChildServer } from '../child-server.ts'
import type { SoakModel } from './fleet.ts'
import type { Sample } from './samples.ts'

helpFrom(import.meta.filename)

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } } })
const minutes = Number(values.minutes)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('usage: npm run soak -- [--minutes N] [--seed N]')

/** Of most clients nearly all questions are for the few models that are always in memory; some ask for any. */
const EXPONENTS = [3, 3, 3, 3, 3, 3, 1.2, 1.2] as const
/** About ten models of 8 MB in threads and two or three in processes. */
const BUDGET_MB = 450
const PROGRESS_MS = 10_000
/** Descriptors and threads that a server which has served keeps: the log, pools of the runtime and of Node. */
const KEPT = 12

const stopped = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stopped.abort(new Error(name)))

const well = await soak().catch((error: unknown) => {
  console.error(stopped.signal.aborted ? `stopped: ${String(stopped.signal.reason)}` : error)
  return false
})
process.exitCode = well ? 0 : 1

async function soak(): Promise<boolean> {
  console.log(`seed ${seed}, ${minutes} min`)
  await using folder = await temporaryFolder()
  const fleet = await createFleet(folder.path)
  const logFile = join(folder.path, 'log/slipway.log')
  const handlesFile = join(folder.path, 'handles')
  const files = [join(folder.path, 'models'), '--log-file', logFile]
  await using server = await serveInChild(
    [...files, '--memory-budget-mb', String(BUDGET_MB), '--poll-ms', '500', '--drain-pause', '200ms'],
    {
      NODE_OPTIONS: `--import ${join(ROOT, 'test/soak/report-handles.ts')}`,
      SOAK_HANDLES_FILE: handlesFile,
    },
  )
  const failures: string[] = []
  void server.exit.then((code) => {
    if (!ending) failures.push(`the server ended by itself (${code}): ${server.said().slice(-2000)}`)
    stopped.abort()
  })
  let ending = false

  const empty = await emptied(server, fleet, handlesFile)
  const verdict = new Verdict(fleet)
  const samples: Sample[] = []
  const day = AbortSignal.any([stopped.signal, AbortSignal.timeout(minutes * 60_000)])
  const asker = { url: server.url, verdict, signal: day }
  const random = randomFrom(seed)
  const watching = watch(server, handlesFile, { samples, verdict, failures, signal: day })
  const clients = EXPONENTS.map((exponent, index) => client(asker, fleet, randomFrom(seed + index + 1), exponent))
  const events = happen({ ...asker, fleet, random, pid: server.pid, logFile, hangUp: () => server.signal('SIGHUP') }, failures)
  const counts = await events
  await Promise.all([...clients, watching])
  if (stopped.signal.aborted) failures.push('it was stopped before its end')
  if (stopped.signal.aborted) return report({ verdict, counts, samples, failures })

  const after = await emptied(server, fleet, handlesFile)
  console.log(`empty before  ${JSON.stringify(empty)}\nempty after   ${JSON.stringify(after)}`)
  for (const measure of ['descriptors', 'threads', 'handles', 'children'] as const)
    if (after[measure] > empty[measure] + KEPT)
      failures.push(`${measure} of the emptied server: ${empty[measure]} before, ${after[measure]} after`)
  const dropped = /^slipway_log_dropped_total (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]
  if (dropped !== '0') failures.push(`${dropped} log lines were lost`)
  ending = true
  server.signal('SIGTERM')
  const code = await Promise.race([server.exit, sleep(40_000, 'not within 40 s', { ref: false })])
  if (code !== 0) failures.push(`the server ended with ${code}: ${server.said().slice(-2000)}`)
  const errors = [...(await readFile(logFile, 'utf8')).matchAll(/^.*SLW_INTERNAL.*$/gm)].slice(0, 5)
  for (const [line] of errors) failures.push(`the log tells of a fault: ${line}`)
  return report({ verdict, counts, samples, failures })
}

/** What the server holds when no model is loaded. Afterwards all are served again. */
async function emptied(server: ChildServer, fleet: readonly SoakModel[], handlesFile: string): Promise<Sample> {
  const all = async (act: 'load' | 'unload'): Promise<void> => {
    for (const { name } of fleet) {
      stopped.signal.throwIfAborted()
      const response = await fetch(`${server.url}/v2/repository/models/${name}/${act}`, { method: 'POST', headers: ADMIN })
      if (response.status !== 200) throw new Error(`${act} ${name}: ${response.status} ${await response.text()}`)
    }
  }
  await all('unload')
  // Long enough for connections to be closed, and for what keeps the event loop busy to be written down.
  await sleep(2500)
  const sample = takeSample(server.pid, handlesFile)
  await all('load')
  return sample
}

interface Watched {
  readonly samples: Sample[]
  readonly verdict: Verdict
  readonly failures: readonly string[]
  readonly signal: AbortSignal
}

async function watch(server: ChildServer, handlesFile: string, { samples, verdict, failures, signal }: Watched): Promise<void> {
  const started = Date.now()
  let told = started
  while (!signal.aborted) {
    await sleep(1000, undefined, { signal }).catch(() => {})
    if (signal.aborted) break
    samples.push(takeSample(server.pid, handlesFile))
    if (Date.now() - told < PROGRESS_MS) continue
    told = Date.now()
    const { residentMb, descriptors, threads, handles, children } = samples.at(-1)!
    const state = `${Math.round(residentMb)} MB, ${descriptors} descriptors, ${threads} threads, ${handles} handles, ${children} processes`
    const answers = `${verdict.right} right, ${verdict.wrong.length} wrong, ${verdict.refused} refused`
    console.log(
      `${String(Math.round((told - started) / 1000)).padStart(4)} s  ${answers}; ${state}${failures.length === 0 ? '' : `; ${failures.length} FAILURES`}`,
    )
  }
}

interface Result {
  readonly verdict: Verdict
  readonly counts: ReadonlyMap<string, number>
  readonly samples: readonly Sample[]
  readonly failures: string[]
}

function byName(counts: ReadonlyMap<string, number>): (readonly [name: string, count: number])[] {
  return [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** @returns whether all was well */
function report({ verdict, counts, samples, failures }: Result): boolean {
  const { counts: refusals, unexplained } = verdict.explain()
  const p99 = verdict.latenciesMs.toSorted((a, b) => a - b)[Math.floor(verdict.latenciesMs.length * 0.99)]
  console.log(
    `\n${verdict.right} right answers (median ${median(verdict.latenciesMs)} ms, 99 % within ${p99} ms), ${verdict.wrong.length} wrong`,
  )
  for (const [name, count] of byName(counts)) console.log(`  ${String(count).padStart(6)}  ${name}`)
  console.log('refusals')
  for (const [row, count] of byName(refusals)) console.log(`  ${String(count).padStart(6)}  ${row}`)
  console.log('medians of the second and the last fifth, and the most')
  for (const { measure, second, last, max, flat } of growth(samples)) {
    console.log(`  ${measure.padEnd(12)} ${Math.round(second)}  ${Math.round(last)}  ${Math.round(max)}`)
    if (!flat) failures.push(`${measure} grew: ${second} to ${last}`)
  }
  for (const wrong of verdict.wrong.slice(0, 10)) failures.push(`wrong answer: ${wrong}`)
  for (const { from, until, status, code, model, text } of unexplained.slice(0, 10))
    failures.push(
      `not explained: ${status} ${code} of ${model}, ${new Date(from).toISOString()} to ${new Date(until).toISOString()}: ${text}`,
    )
  if (unexplained.length > 0) failures.push(`${unexplained.length} refusals are not explained`)
  if (verdict.right < 100) failures.push(`only ${verdict.right} answers`)
  for (const failure of failures) console.log(`FAILED  ${failure}`)
  console.log(failures.length === 0 ? `ok, seed ${seed}` : `failed, seed ${seed}`)
  return failures.length === 0
}
