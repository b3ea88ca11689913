/**
 * Work in the background on SQLite: how fast 100 000 waiting items are claimed and ended, and what a read of the API takes meanwhile, in the
 * same process: `sh scripts/node bench/control-plane/work.ts [ITEMS]`. Prints figures and asserts nothing.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import { Worker } from '../../src/storage/work/worker.ts'
import { planeInProcess } from '../../test/api/in-plane.ts'
import { helpFrom } from '../../scripts/help.ts'

helpFrom(import.meta.filename)

const ITEMS = Number(process.argv[2] ?? 100_000)
const READ_MS = 8000
const AT_ONCE = 50

/** One reader, one read after the other, from a process of its own. */
const READER = `
const [url, ms] = process.argv.slice(1)
const times = []
for (const end = performance.now() + Number(ms); performance.now() < end;) {
  const before = performance.now()
  await (await fetch(url)).arrayBuffer()
  times.push(performance.now() - before)
}
times.sort((a, b) => a - b)
console.log(JSON.stringify({ reads: times.length, p50: times[Math.floor(times.length * 0.5)], p99: times[Math.floor(times.length * 0.99)] }))
`

interface Reads {
  readonly reads: number
  readonly p50: number
  readonly p99: number
}

async function reads(url: string): Promise<Reads> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', READER, url, String(READ_MS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await once(child, 'exit')
  return JSON.parse(said) as Reads
}

await using plane = await planeInProcess()
await plane.ask('POST', '/models', { name: 'm' })
const { work } = plane.plane.services
/** A round may end nearly all of them: each begins with as many. */
async function fill(): Promise<void> {
  const waiting = (await work.counts()).find(({ kind, state }) => kind === 'bench' && state === 'waiting')?.count ?? 0
  for (let from = waiting; from < ITEMS; from += 1000)
    await work.database.write(async (write) => {
      for (let n = from; n < Math.min(ITEMS, from + 1000); n++) await work.enqueue(write, { kind: 'bench', payload: { n } })
    })
}
await fill()
const url = `${plane.url}/api/v1/models/m`
await reads(url)
const rows: { readonly what: string; readonly reads: Reads; readonly perSecond?: number }[] = []
/** Claims and ends while the API is read. @param itemMs what one takes */
async function under(what: string, itemMs: number): Promise<void> {
  const worker = new Worker({
    queue: work,
    clock: systemClock,
    log: silentLogger,
    kinds: [{ kind: 'bench', concurrency: AT_ONCE, run: () => pause(itemMs) }],
  })
  const done = async (): Promise<number> =>
    (await work.counts()).find(({ kind, state }) => kind === 'bench' && state === 'done')?.count ?? 0
  const before = await done()
  await worker.start()
  const meanwhile = await reads(url)
  rows.push({ what, reads: meanwhile, perSecond: ((await done()) - before) / (READ_MS / 1000) })
  await worker[Symbol.asyncDispose]()
  await pause(500)
}

for (let round = 1; round <= 3; round++) {
  await fill()
  rows.push({ what: `${ITEMS} items wait`, reads: await reads(url) })
  await under('and 500 to 600 a second end', 80)
  await under('and as many as can be end', 0)
}
for (const { what, reads: found, perSecond } of rows)
  console.log(
    `${what.padEnd(28)} ${String(found.reads).padStart(6)} reads  p50 ${found.p50.toFixed(2)} ms  p99 ${found.p99.toFixed(2)} ms` +
      (perSecond === undefined ? '' : `  ${Math.round(perSecond)} items/s`),
  )
