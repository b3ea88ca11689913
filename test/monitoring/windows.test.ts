import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Histogram, LATENCY_EDGES, mergeHistograms, subtractHistograms } from '../../src/contract/histogram.ts'
import { WindowCutter } from '../../src/following/windows/cutter.ts'
import { WindowBuffer } from '../../src/following/windows/buffer.ts'
import { trafficOf } from '../../src/monitoring/traffic.ts'
import { Windows } from '../../src/monitoring/windows.ts'
import { METRICS } from '../../src/serving/observe/catalog.ts'
import { TestClock } from '../registry/in-registry.ts'
import { eachDatabase } from '../storage/databases.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ObservationWindow } from '../../src/contract/observation-window.ts'
import type { Family } from '../../src/serving/observe/exposition.ts'

/** Numbers that are the same each time, for a seed that is printed where something fails. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return state / 2 ** 32
  }
}

/** What a server counts: requests of one endpoint by status. */
class Counted {
  readonly byCode = new Map<number, Histogram>()
  total = 0

  ask(code: number, seconds: number): void {
    let histogram = this.byCode.get(code)
    if (histogram === undefined) this.byCode.set(code, (histogram = new Histogram(LATENCY_EDGES)))
    histogram.observe(seconds)
    this.total++
  }

  families(version = '1'): Family[] {
    const labels = { endpoint: 'churn', variant: 'main', model: 'churn', version, protocol: 'v2' }
    const samples = [...this.byCode].map(([code, histogram]) => ({
      labels: { ...labels, code: String(code) },
      value: histogram.snapshot(),
    }))
    return [
      { name: 'slipway_request_duration_seconds', info: METRICS.slipway_request_duration_seconds, samples },
      {
        name: 'slipway_rows_total',
        info: METRICS.slipway_rows_total,
        samples: [{ labels: { endpoint: 'churn', variant: 'main', model: 'churn', version }, value: this.total }],
      },
    ]
  }
}

const START = 1_750_000_000_000

function cutterOf(server: string): WindowCutter {
  return new WindowCutter({ server, bootId: `${server}boot`, segmentOf: () => 1 }, START)
}

test('a window holds what has come since the one before, and nothing of a version that was not asked', () => {
  const counted = new Counted()
  const cutter = cutterOf('s')
  counted.ask(200, 0.01)
  counted.ask(500, 0.02)
  const [first, ...others] = cutter.cut(counted.families(), START + 10_001)
  assert.equal(others.length, 0)
  assert.deepEqual([first!.key.sequence, first!.key.startMs, first!.key.endMs], [0, START, START + 10_000])
  assert.deepEqual(Object.keys(first!.statistics).toSorted(), [
    'request_seconds{protocol=v2,code=200}',
    'request_seconds{protocol=v2,code=500}',
    'rows',
  ])
  assert.deepEqual(cutter.cut(counted.families(), START + 20_001), [])
  counted.ask(200, 0.03)
  const [third] = cutter.cut(counted.families(), START + 30_001)
  const statistic = third!.statistics['request_seconds{protocol=v2,code=200}']!
  assert.ok(statistic.kind === 'histogram' && statistic.count === 1 && Math.abs(statistic.sum - 0.03) < 1e-9)
  assert.equal(third!.key.sequence, 2)
})

test('what a histogram has grown by is what was observed since', () => {
  const histogram = new Histogram(LATENCY_EDGES)
  for (const value of [0, 0.001, 0.5]) histogram.observe(value)
  const before = histogram.snapshot()
  for (const value of [0.001, 20, 100]) histogram.observe(value)
  const change = subtractHistograms(histogram.snapshot(), before)
  assert.deepEqual(mergeHistograms(before, change).counts, histogram.snapshot().counts)
  assert.deepEqual(mergeHistograms(before, change).native, histogram.snapshot().native)
  assert.equal(change.count, 3)
  assert.deepEqual(subtractHistograms(before, histogram.snapshot()), before, 'one that began anew is all new')
})

eachDatabase('windows of three servers that are sent again, in any order and late, add up to what was counted', async (database) => {
  const seed = Date.now() % 100_000
  const random = randomOf(seed)
  const clock = new TestClock()
  const windows = new Windows(database, clock)
  const servers = ['a', 'b', 'c'].map((name) => ({
    name,
    counted: new Counted(),
    cutter: cutterOf(name),
    sent: [] as ObservationWindow[][],
  }))
  for (let turn = 1; turn <= 30; turn++)
    for (const { counted, cutter, sent } of servers) {
      for (let request = Math.floor(random() * 20); request > 0; request--) counted.ask(random() < 0.1 ? 503 : 200, random())
      const cut = cutter.cut(counted.families(), START + turn * 10_000 + 5)
      if (cut.length > 0) sent.push(cut)
    }
  // Each batch two times, in an order of chance, several at once.
  const batches = servers.flatMap(({ sent }) => [...sent, ...sent]).map((batch) => ({ batch, at: random() }))
  const order = batches.toSorted((x, y) => x.at - y.at).map(({ batch }) => batch)
  clock.pass(START + 400_000 - clock.epochMs())
  for (let from = 0; from < order.length; from += 6)
    await Promise.all(order.slice(from, from + 6).map((batch) => windows.add('default', batch, clock.epochMs())))
  const total = servers.reduce((sum, { counted }) => sum + counted.total, 0)
  const failed = servers.reduce((sum, { counted }) => sum + (counted.byCode.get(503)?.count ?? 0), 0)
  for (const span of ['10s', '1m', '1h'] as const) {
    const rollups = await windows.list('default', { span, fromMs: START - 3_600_000, untilMs: START + 3_600_000 })
    const traffic = trafficOf(rollups, 300_000)
    assert.deepEqual(
      traffic.map(({ requests, errors }) => [requests, errors]),
      [[total, failed]],
      `${span}, seed ${seed}`,
    )
  }
  assert.deepEqual(await windows.list('other', { span: '1h', fromMs: 0, untilMs: START * 2 }), [], 'another environment sees nothing')
})

function countOf({ statistics }: ObservationWindow): number {
  return Object.entries(statistics).reduce(
    (sum, [name, one]) => sum + (name.startsWith('request_seconds') && one.kind === 'histogram' ? one.count : 0),
    0,
  )
}

eachDatabase(
  'a server whose clock is wrong is put right, what is too old is refused, and what does not fit harms nothing',
  async (database) => {
    const clock = new TestClock()
    clock.pass(START + 60_000 - clock.epochMs())
    const windows = new Windows(database, clock)
    const counted = new Counted()
    const ahead = 3_600_000
    const cutter = new WindowCutter({ server: 's', bootId: 'b', segmentOf: () => 1 }, START + 50_000 + ahead)
    counted.ask(200, 0.1)
    await windows.add('default', cutter.cut(counted.families(), START + 60_000 + ahead), START + 60_000 + ahead)
    const [rollup] = await windows.list('default', { span: '10s', fromMs: START, untilMs: START + 120_000 })
    assert.equal(rollup?.startMs, START + 50_000)
    counted.ask(200, 0.1)
    const [late] = cutter.cut(counted.families(), START + 70_000 + ahead)
    const old = { ...late!, key: { ...late!.key, startMs: START - 10 * 24 * 3_600_000, endMs: START - 10 * 24 * 3_600_000 + 10_000 } }
    await assert.rejects(windows.add('default', [old], clock.epochMs()), { code: 'SLW_CONFLICT' })
    const other = { ...late!, key: { ...late!.key, sequence: 9, startMs: START + 50_000, endMs: START + 60_000 } }
    const strange = { ...other, statistics: { rows: new Histogram([1]).snapshot() } }
    await assert.rejects(windows.add('default', [strange], clock.epochMs()), { code: 'SLW_INPUT_INVALID' })
    await windows.add('default', [other], clock.epochMs())
    const [merged] = await windows.list('default', { span: '10s', fromMs: START, untilMs: START + 120_000 })
    assert.equal(trafficOf([merged!], 10_000)[0]?.requests, 2)
    clock.pass(7 * 3_600_000)
    await windows.sweep()
    assert.deepEqual(await windows.list('default', { span: '10s', fromMs: START, untilMs: START + 120_000 }), [])
    assert.equal((await windows.list('default', { span: '1h', fromMs: START - 3_600_000, untilMs: START + 120_000 })).length, 1)
  },
)

test('what waits stays within its bounds by merging the oldest, and what may have arrived is sent again as it is', async () => {
  await using folder = await temporaryFolder()
  const open = () => WindowBuffer.open({ folder: folder.path, filesMax: 8, bytesMax: 10_000_000 })
  const buffer = await open()
  const counted = new Counted()
  const cutter = cutterOf('s')
  for (let turn = 1; turn <= 3; turn++) {
    counted.ask(200, 0.1)
    await buffer.add(cutter.cut(counted.families(), START + turn * 10_000))
  }
  const sent = (await buffer.next())!
  assert.equal(sent.windows.length, 3)
  for (let turn = 4; turn <= 60; turn++) {
    counted.ask(200, 0.1)
    await buffer.add(cutter.cut(counted.families(), START + turn * 10_000))
  }
  const again = (await (await open()).next())!
  assert.deepEqual(again.names, sent.names, 'the same as were given before')
  assert.deepEqual(again.windows, sent.windows)
  let total = 0
  const later = await open()
  const sequences: number[] = []
  for (let unsent = await later.next(); unsent !== undefined; unsent = await later.next()) {
    total += unsent.windows.reduce((sum, window) => sum + countOf(window), 0)
    sequences.push(...unsent.windows.map(({ key }) => key.sequence))
    await later.done(unsent.names)
  }
  assert.equal(total, 60, 'nothing is lost')
  assert.equal(new Set(sequences).size, sequences.length)
  assert.ok(sequences.length <= 3 + 8)
  assert.equal(later.dropped, 0)
})
