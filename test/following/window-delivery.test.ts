import assert from 'node:assert/strict'
import { readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Histogram } from '../../src/contract/statistics/histogram.ts'
import { systemClock } from '../../src/core/clock.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { silentLogger } from '../../src/core/log.ts'
import { LocalStore } from '../../src/following/local-store.ts'
import { WindowBuffer } from '../../src/following/windows/buffer.ts'
import { WindowCutter } from '../../src/following/windows/cutter.ts'
import { WindowFolders } from '../../src/following/windows/folders.ts'
import { AbandonedWindows } from '../../src/following/windows/abandoned-windows.ts'
import { WindowPusher } from '../../src/following/windows/pusher.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { freePort, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { added, adders, deploy, follows } from './following.ts'
import { requestsAt } from './outage.ts'
import type { HistogramData } from '../../src/contract/statistics/histogram.ts'
import type { ObservationWindow } from '../../src/contract/observation-window.ts'
import type { Observed } from '../../src/serving/observe/observations.ts'

const START = Date.UTC(2026, 0, 5)
const SUBJECT = { endpoint: 'adder', variant: 'main', model: 'adder', version: '1' }

function windowOf(sequence: number, rows = 1): ObservationWindow {
  const startMs = START + sequence * 10_000
  return {
    key: { source: 'online', server: 'one', bootId: 'b', sequence, ...SUBJECT, segment: 1, startMs, endMs: startMs + 10_000 },
    series: [{ name: 'rows', labels: {}, statistic: { kind: 'count', value: rows } }],
  }
}

async function bufferIn(folder: string): Promise<WindowBuffer> {
  return await WindowBuffer.open({ folder, filesMax: 1000, bytesMax: 64 * 1024 * 1024 })
}

/** A pusher over a buffer, that sends to what is given and counts nothing itself. */
function pusherTo(
  buffer: WindowBuffer,
  sendWindows: (server: string, windows: readonly ObservationWindow[]) => Promise<void>,
): WindowPusher {
  const cutter = new WindowCutter({ server: 'one', bootId: 'b' }, START)
  const observed = (): Promise<readonly Observed[]> => Promise.resolve([])
  return new WindowPusher({ cutter, buffer, client: { sendWindows }, server: 'one', observed, clock: systemClock, log: silentLogger })
}

test('a window that the control plane will never take does not hold up the others, and is told', async () => {
  await using folder = await temporaryFolder()
  const buffer = await bufferIn(folder.path)
  for (let sequence = 0; sequence < 10; sequence++) await buffer.add([windowOf(sequence)])
  const taken: number[] = []
  await using pusher = pusherTo(buffer, async (_, windows) => {
    if (windows.some(({ key }) => key.sequence === 3)) throw new SlipwayError('SLW_CONFLICT', 'too old')
    taken.push(...windows.map(({ key }) => key.sequence))
  })
  await pusher.push()
  assert.deepEqual(taken, [0, 1, 2, 4, 5, 6, 7, 8, 9])
  assert.equal(await buffer.next(), undefined)
  await pusher.push()
  assert.match(pusher.trouble ?? '', /^1 windows were given up/)
})

test('windows of a control plane that cannot be reached stay, whatever was sent of them', async () => {
  await using folder = await temporaryFolder()
  const buffer = await bufferIn(folder.path)
  for (let sequence = 0; sequence < 3; sequence++) await buffer.add([windowOf(sequence)])
  let away = true
  const taken: number[] = []
  await using pusher = pusherTo(buffer, async (_, windows) => {
    if (away) throw new SlipwayError('SLW_UNREACHABLE', 'nobody is there')
    taken.push(...windows.map(({ key }) => key.sequence))
  })
  await pusher.push()
  away = false
  await pusher.push()
  assert.deepEqual(taken, [0, 1, 2])
})

test('what is sent together fits into a request', async () => {
  await using folder = await temporaryFolder()
  const buffer = await bufferIn(folder.path)
  for (let sequence = 0; sequence < 20; sequence++) await buffer.add(Array.from({ length: 4000 }, () => windowOf(sequence)))
  let batches = 0
  for (let unsent = await buffer.next(); unsent !== undefined; unsent = await buffer.next()) {
    batches++
    assert.ok(JSON.stringify(unsent.windows).length < 8 * 1024 * 1024)
    await buffer.done(unsent.names)
  }
  assert.ok(batches > 2, String(batches))
})

test('what a server left that comes back under another name is sent, and what another control plane is to have is not', async () => {
  await using folder = await temporaryFolder()
  const port = await freePort()
  const data = join(folder.path, 'data')
  {
    await using plane = await planeInProcess({ data, port })
    await adders(plane, 1)
    await deploy(plane)
    const server = await follows(plane.url, folder.path, { name: 'pod-1' })
    try {
      for (let asked = 0; asked < 5; asked++) assert.equal(await added(server), 1)
    } finally {
      // It is gone before what it saw could be sent.
      await plane[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
  await using other = await planeInProcess()
  await using _elsewhere = await follows(other.url, folder.path, { name: 'pod-3' })
  await using plane = await planeInProcess({ data, port })
  await using _next = await follows(plane.url, folder.path, { name: 'pod-2' })
  await until(async () => (await requestsAt(plane.url)) === 5, 'all five are counted')
  assert.equal(await requestsAt(other.url), 0)
})

test('a server whose windows another one is just sending serves at once, and its windows come when it is free', async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await adders(plane, 1)
  await deploy(plane)
  await (await follows(plane.url, folder.path))[Symbol.asyncDispose]()
  const held = await new WindowFolders(join(folder.path, 'store'), { url: `${plane.url}/` }).tryTake('one')
  assert.ok(held !== undefined, 'with a slash it is the same control plane')
  await using server = await follows(plane.url, folder.path)
  assert.equal(await added(server), 1)
  held[Symbol.dispose]()
  await until(async () => (await requestsAt(plane.url)) === 1, 'what it was asked meanwhile is counted')
})

test('windows that were left are given up when they are too old, a running server keeps its own, and a name is of one server', async () => {
  await using folder = await temporaryFolder()
  const folders = new WindowFolders(folder.path, { url: 'http://127.0.0.1:1' })
  const { signal } = new AbortController()
  await LocalStore.open(folder.path, 1)
  const now = Date.now()
  for (const [server, startMs] of [
    ['old', now - 10 * 24 * 3_600_000],
    ['late', now - 3_600_000],
    ['alive', now],
  ] as const) {
    using held = await folders.take(server, signal)
    const window = windowOf(0)
    const key = { ...window.key, server, startMs: Math.floor(startMs / 10_000) * 10_000 }
    await (await bufferIn(held.path)).add([{ ...window, key: { ...key, endMs: key.startMs + 10_000 } }])
  }
  using _alive = await folders.take('alive', signal)
  const sent: string[] = []
  const clientOf = (server: string) => ({
    sendWindows: async (_: string, windows: readonly ObservationWindow[]) => {
      assert.deepEqual([...new Set(windows.map(({ key }) => key.server))], [server])
      sent.push(server)
    },
    [Symbol.dispose]: () => {},
  })
  const bounds = { filesMax: 1000, bytesMax: 1024 * 1024 }
  await using left = new AbandonedWindows({ folders, server: 'me', clientOf, bounds, clock: systemClock, log: silentLogger })
  await left.send()
  assert.deepEqual(sent, ['late'])
  assert.deepEqual(await folders.servers(), ['alive'])
  const elsewhere = new WindowFolders(folder.path, { url: 'http://127.0.0.1:1', environment: 'production' })
  const paths: string[] = []
  for (const server of ['forgotten', 'fresh']) {
    using taken = await elsewhere.take(server, signal)
    paths.push(taken.path)
  }
  await utimes(paths[0]!, 1, 1)
  await left.send()
  assert.deepEqual(await elsewhere.servers(), ['fresh'])
  await assert.rejects(folders.take('alive', signal, 150), {
    code: 'SLW_CONFLICT',
    message: /another server of this machine is called "alive"/,
  })
  assert.equal((await readdir(folder.path)).includes('windows'), true)
})

test('a file that was cut off is passed over, and costs nothing else', async () => {
  await using folder = await temporaryFolder()
  const buffer = await bufferIn(folder.path)
  await writeFile(join(folder.path, '000000000000001-b-000000000.json'), '[{"apiVersion"')
  await buffer.add([windowOf(1)])
  assert.deepEqual((await buffer.next())?.windows, [windowOf(1)])
})

function latencies(...seconds: number[]): HistogramData {
  const histogram = new Histogram()
  for (const value of seconds) histogram.observe(value)
  return histogram.snapshot()
}

function durations(statistic: HistogramData): Observed[] {
  return [{ subject: SUBJECT, segment: 1, series: [{ name: 'request_seconds', labels: { protocol: 'v2', code: 200 }, statistic }] }]
}

const countOf = (windows: readonly ObservationWindow[]): number =>
  windows.reduce((sum, { series }) => sum + ((series[0]?.statistic as HistogramData | undefined)?.count ?? 0), 0)

test('a version that was away and comes back is counted from nothing', () => {
  const cutter = new WindowCutter({ server: 'one', bootId: 'b' }, START)
  let now = START
  const cut = (observed: readonly Observed[]): number => countOf(cutter.cut(observed, (now += 10_000)))
  assert.equal(cut(durations(latencies(0.1, 0.1, 0.1, 0.1, 0.1))), 5)
  assert.equal(cut(durations(latencies(0.1, 0.1, 0.1, 0.1, 0.1, 0.1))), 1)
  // A process that does not answer in time is told of as it was last: what is missing is gone.
  assert.equal(cut([]), 0)
  assert.equal(cut(durations(latencies(...Array.from({ length: 40 }, () => 0.2)))), 40)
})

test('what leaves a segment in one process before it does in another is not counted again', () => {
  const cutter = new WindowCutter({ server: 'one', bootId: 'b' }, START)
  let now = START
  const cut = (...all: number[]): number => countOf(cutter.cut(durations(latencies(...all)), (now += 10_000)))
  assert.equal(cut(0.1, 0.1, 0.1, 0.2), 4)
  assert.equal(cut(0.1, 0.2), 0)
  assert.equal(cut(0.1, 0.2, 0.2), 1)
})
