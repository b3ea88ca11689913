/**
 * How fast what is declared is served, and what following costs: `sh scripts/node bench/control-plane/run.ts [ROUNDS]`. Prints a table
 * and asserts nothing; docs/benchmarks.md says how to read it.
 */
import { appendFile, cp, readFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { ControlPlaneClient } from '../../src/following/control-plane-client.ts'
import { slipwayVersion } from '../../src/core/version.ts'
import { serveInChild } from '../../test/child-server.ts'
import { example } from '../../test/fixtures.ts'
import { slipway } from '../../test/cli/slipway.ts'
import { upInChild } from '../../test/control-plane/up-in-child.ts'
import { outage } from '../../test/following/outage.ts'
import { temporaryFolder } from '../../test/temporary-folder.ts'
import { median } from '../table.ts'
import { helpFrom } from '../../scripts/help.ts'
import type { ChildControlPlane } from '../../test/control-plane/up-in-child.ts'

helpFrom(import.meta.filename)

const SERVERS = 200
const IDLE_S = 40
/** As a server reports where nothing changes. */
const BEAT_MS = 15_000

async function api(url: string, method: string, path: string, body?: unknown): Promise<any> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

/** CPU seconds of a process so far. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function residentMb(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

function percentile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!
}

const ms = (value: number): string => `${Math.round(value)} ms`

/** One real server: from the alias that moves, or the rollback, to the first answer of the other version. */
async function served(plane: ChildControlPlane, folder: string, rounds: number): Promise<void> {
  const store = join(folder, 'store')
  const args = ['--control-plane', plane.url, '--endpoint', 'churn', '--store', store, '--server-name', 'bench']
  const moved: number[] = []
  const rolled: number[] = []
  {
    await using server = await serveInChild(args)
    const until = async (version: number): Promise<void> => {
      for (;;) {
        const { versions } = (await (await fetch(`${server.url}/v2/models/churn`)).json()) as { versions?: string[] }
        if (versions?.includes(String(version)) === true) return
        await pause(2)
      }
    }
    for (let round = 0; round < rounds * 10; round++) {
      const version = round % 2 === 0 ? 2 : 1
      const started = performance.now()
      await api(plane.url, 'PUT', '/models/churn/aliases/champion', { version })
      await until(version)
      moved.push(performance.now() - started)
      const back = performance.now()
      await api(plane.url, 'POST', '/endpoints/churn/rollback', {})
      await until(3 - version)
      rolled.push(performance.now() - back)
      await api(plane.url, 'POST', '/endpoints/churn/resume', {})
      await until(version)
    }
  }
  console.log(`| alias moves to served answer, churn, one server | ${ms(median(moved))} | ${ms(percentile(moved, 0.95))} | 1000 ms |`)
  console.log(`| rollback to served answer, churn, one server | ${ms(median(rolled))} | ${ms(percentile(rolled, 0.95))} | 2000 ms |`)
}

/** Many servers, each as a real one asks and reports, without the engine. */
async function many(plane: ChildControlPlane, rounds: number): Promise<void> {
  const ended = new AbortController()
  const heard = new Map<string, number>()
  let generation = 0
  const loops = Array.from({ length: SERVERS }, async (_, index) => {
    using client = new ControlPlaneClient({ url: plane.url })
    const name = `s${index}`
    let known: string | undefined
    let reported = performance.now() - Math.random() * BEAT_MS
    while (!ended.signal.aborted) {
      try {
        const answer = await client.follow({ endpoints: 'all' }, known, { waitMs: known === undefined ? 0 : 10_000, signal: ended.signal })
        if (answer !== undefined) {
          known = answer.etag
          if (answer.state.generation >= generation) heard.set(name, performance.now())
        }
        if (performance.now() - reported < BEAT_MS) continue
        reported = performance.now()
        const [endpoint] = answer?.state.endpoints ?? []
        await client.report(
          name,
          {
            apiVersion: 'slipway/v1',
            bootId: 'b',
            release: slipwayVersion(),
            sentAt: Date.now(),
            staleSeconds: 0,
            expiresInMs: 50_000,
            endpoints: endpoint === undefined ? [] : [{ name: endpoint.name, revision: endpoint.revision, versions: [] }],
          },
          ended.signal,
        )
      } catch (error) {
        if (!ended.signal.aborted) console.error(String(error))
        await pause(100)
      }
    }
  })
  await pause(3000)
  const before = await cpuSeconds(plane.pid)
  await pause(IDLE_S * 1000)
  const share = (await cpuSeconds(plane.pid)) - before
  const memory = await residentMb(plane.pid)
  const all: number[] = []
  const last: number[] = []
  for (let round = 0; round < rounds * 5; round++) {
    const state = (await (await fetch(`${plane.url}/api/v1/follow`)).json()) as { generation: number }
    generation = state.generation + 1
    heard.clear()
    const started = performance.now()
    await api(plane.url, 'PUT', '/models/churn/aliases/champion', { version: ((round + 1) % 2) + 1 })
    while (heard.size < SERVERS) await pause(5)
    const times = [...heard.values()].map((time) => time - started)
    all.push(...times)
    last.push(Math.max(...times))
    await pause(500)
  }
  ended.abort()
  await Promise.all(loops)
  console.log(`| a change reaches ${SERVERS} servers (each) | ${ms(median(all))} | ${ms(percentile(all, 0.95))} | |`)
  console.log(`| a change reaches ${SERVERS} servers (the last) | ${ms(median(last))} | ${ms(Math.max(...last))} | 2000 ms |`)
  console.log(
    `\nIdle with ${SERVERS} servers: ${((100 * share) / IDLE_S).toFixed(1)} % of one core, ${memory.toFixed(0)} MB resident (control plane on SQLite).`,
  )
}

const OUTAGE_S = 60

async function away(): Promise<void> {
  const { answered, failed, counted, countedLater } = await outage(OUTAGE_S * 1000)
  console.log(
    `\nKilled for ${OUTAGE_S} s with three servers under load: ${answered} predictions, ${failed} failed; ${counted} in windows once it is back, ${countedLater} two seconds later.`,
  )
}

const rounds = Number(process.argv[2] ?? 3)
await using folder = await temporaryFolder()
await using plane = await upInChild(['--data', join(folder.path, 'plane'), '--no-server'])
for (const extra of ['', 'two']) {
  const path = join(folder.path, `churn${extra}`)
  await cp(example('churn'), path, { recursive: true })
  await appendFile(join(path, 'README.md'), extra)
  const { code, stderr } = await slipway(['model', 'push', path, '--name', 'churn', '--url', plane.url])
  if (code !== 0) throw new Error(stderr)
}
await api(plane.url, 'PUT', '/models/churn/aliases/champion', { version: 1 })
const document = {
  apiVersion: 'slipway/v1',
  kind: 'Endpoint',
  metadata: { name: 'churn' },
  spec: { variants: [{ model: 'churn@champion' }] },
}
await api(plane.url, 'PUT', '/endpoints/churn', document)
console.log(`${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}, ${rounds} rounds\n`)
console.log('| what | median | p95 (the last: worst) | goal |')
console.log('|---|---|---|---|')
await served(plane, folder.path, rounds)
await many(plane, rounds)
plane.signal('SIGTERM')
await plane.exit
await away()
