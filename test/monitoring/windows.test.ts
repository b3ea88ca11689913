import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Histogram, LATENCY_EDGES, mergeHistograms, subtractHistograms } from '../../src/contract/statistics/histogram.ts'
import { WindowCutter } from '../../src/following/windows/cutter.ts'
import { WindowBuffer } from '../../src/following/windows/buffer.ts'
import { trafficOf } from '../../src/monitoring/traffic.ts'
import { sql } from 'kysely'
import { openWindowsDatabase } from '../../src/control-plane/databases.ts'
import { FIRST_MIGRATIONS } from '../../src/control-plane/migrations/index.ts'
import { migrate } from '../../src/storage/sql/migrate.ts'
import { Windows } from '../../src/monitoring/windows.ts'
import { readWindow, writeWindow } from '../../src/contract/observation-window.ts'
import { readSeries, writeSeries } from '../../src/contract/statistics/series.ts'
import { TestClock } from '../models/in-registry.ts'
import { eachDatabase } from '../storage/databases.ts'
import { openPlace } from '../storage/open-place.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { WireSeries } from '../../src/contract/statistics/series.ts'
import type { ObservationWindow } from '../../src/contract/observation-window.ts'
import type { Observed } from '../../src/serving/observe/observations.ts'

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

  observed(version = '1', segment = 1): Observed[] {
    const subject = { endpoint: 'churn', variant: 'main', model: 'churn', version }
    const requests = [...this.byCode].map(([code, histogram]) => ({
      name: 'request_seconds',
      labels: { protocol: 'v2', code },
      statistic: histogram.snapshot(),
    }))
    return [{ subject, segment, series: [...requests, { name: 'rows', labels: {}, statistic: { kind: 'count', value: this.total } }] }]
  }
}

const START = 1_750_000_000_000

function cutterOf(server: string): WindowCutter {
  return new WindowCutter({ server, bootId: `${server}boot` }, START)
}

test('a window holds what has come since the one before, and nothing of a version that was not asked', () => {
  const counted = new Counted()
  const cutter = cutterOf('s')
  counted.ask(200, 0.01)
  counted.ask(500, 0.02)
  const [first, ...others] = cutter.cut(counted.observed(), START + 10_001)
  assert.equal(others.length, 0)
  assert.deepEqual([first!.key.sequence, first!.key.startMs, first!.key.endMs], [0, START, START + 10_000])
  assert.deepEqual(
    first!.series.map(({ name, labels }) => [name, labels['code']]),
    [
      ['request_seconds', 200],
      ['request_seconds', 500],
      ['rows', undefined],
    ],
  )
  assert.deepEqual(cutter.cut(counted.observed(), START + 20_001), [])
  counted.ask(200, 0.03)
  const [third] = cutter.cut(counted.observed(), START + 30_001)
  const { statistic } = third!.series[0]!
  assert.ok(statistic.kind === 'histogram' && statistic.count === 1 && Math.abs(statistic.sum - 0.03) < 1e-9)
  assert.equal(third!.key.sequence, 2)
})

test('what a histogram has grown by is what was observed since', () => {
  const histogram = new Histogram(LATENCY_EDGES)
  for (const value of [0, 0.001, 0.5]) histogram.observe(value)
  const before = histogram.snapshot()
  for (const value of [0.001, 20, 100]) histogram.observe(value)
  const change = subtractHistograms(histogram.snapshot(), before)!
  assert.deepEqual(mergeHistograms(before, change).counts, histogram.snapshot().counts)
  assert.deepEqual(mergeHistograms(before, change).native, histogram.snapshot().native)
  assert.equal(change.count, 3)
  assert.equal(subtractHistograms(before, histogram.snapshot()), undefined, 'one that has become less has not grown')
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
      const cut = cutter.cut(counted.observed(), START + turn * 10_000 + 5)
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

function countOf({ series }: ObservationWindow): number {
  return series.reduce(
    (sum, { name, statistic }) => sum + (name === 'request_seconds' && statistic.kind === 'histogram' ? statistic.count : 0),
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
    const cutter = new WindowCutter({ server: 's', bootId: 'b' }, START + 50_000 + ahead)
    counted.ask(200, 0.1)
    await windows.add('default', cutter.cut(counted.observed(), START + 60_000 + ahead), START + 60_000 + ahead)
    const [rollup] = await windows.list('default', { span: '10s', fromMs: START, untilMs: START + 120_000 })
    assert.equal(rollup?.startMs, START + 50_000)
    counted.ask(200, 0.1)
    const [late] = cutter.cut(counted.observed(), START + 70_000 + ahead)
    const old = { ...late!, key: { ...late!.key, startMs: START - 10 * 24 * 3_600_000, endMs: START - 10 * 24 * 3_600_000 + 10_000 } }
    await assert.rejects(windows.add('default', [old], clock.epochMs()), { code: 'SLW_CONFLICT' })
    const other = { ...late!, key: { ...late!.key, sequence: 9, startMs: START + 50_000, endMs: START + 60_000 } }
    const strange = { ...other, series: [{ name: 'rows', labels: {}, statistic: new Histogram([1]).snapshot() }] }
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
    await buffer.add(cutter.cut(counted.observed(), START + turn * 10_000))
  }
  const sent = (await buffer.next())!
  assert.equal(sent.windows.length, 3)
  for (let turn = 4; turn <= 60; turn++) {
    counted.ask(200, 0.1)
    await buffer.add(cutter.cut(counted.observed(), START + turn * 10_000))
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

eachDatabase('what came in other ways and under other segments stays apart', async (database) => {
  const clock = new TestClock()
  clock.pass(START + 60_000 - clock.epochMs())
  const windows = new Windows(database, clock)
  const counted = new Counted()
  counted.ask(200, 0.1)
  const [online] = cutterOf('s').cut(counted.observed('1', 1), START + 10_000)
  const [next] = cutterOf('s').cut(counted.observed('1', 2), START + 10_000)
  const batch = { ...online!, key: { ...online!.key, sequence: 7, source: 'batch' as const } }
  await windows.add('default', [online!, { ...next!, key: { ...next!.key, sequence: 8 } }, batch], clock.epochMs())
  const span = { span: '10s', fromMs: START, untilMs: START + 60_000 } as const
  const found = (await windows.list('default', span)).map(({ source, segment }) => [source, segment])
  assert.deepEqual(new Set(found.map(String)), new Set(['batch,1', 'online,1', 'online,2']))
  assert.equal((await windows.list('default', { ...span, source: 'batch' })).length, 1)
})

/** Of a kind that this release does not know. */
const sketch = (k: number) => ({ kind: 'sketch-of-tomorrow', k, levels: [[1, 2], ['NaN']], deep: { a: null } })

eachDatabase('a kind of statistic that only a newer release knows goes through whole, and is added to by nobody', async (database) => {
  const clock = new TestClock()
  clock.pass(START + 60_000 - clock.epochMs())
  const windows = new Windows(database, clock)
  const wire = (sequence: number, k: number) => ({
    apiVersion: 'slipway/v1',
    key: {
      source: 'online',
      server: 's',
      bootId: 'b',
      sequence,
      endpoint: 'e',
      variant: 'v',
      model: 'm',
      version: '1',
      segment: 1,
      startMs: START,
      endMs: START + 10_000,
    },
    series: [
      { name: 'feature', labels: { feature: 'age', top: true }, statistic: sketch(k) },
      { name: 'rows', labels: {}, statistic: { kind: 'count', value: 'Infinity' } },
    ],
  })
  const read = (one: unknown): ObservationWindow => {
    const found = readWindow(one)
    assert.ok('value' in found, JSON.stringify(found))
    return found.value
  }
  await windows.add('default', [read(wire(1, 1))], clock.epochMs())
  const list = async () =>
    (await windows.list('default', { span: '10s', fromMs: START, untilMs: START + 60_000 })).map(({ series }) => writeSeries(series))
  assert.deepEqual(await list(), [wire(1, 1).series])
  // Two of them cannot be added up here: both go on, for whoever can.
  await windows.add('default', [read(wire(2, 2))], clock.epochMs())
  const [[first] = []] = await list()
  assert.deepEqual(first?.statistic, { kind: 'unmerged', parts: [sketch(1), sketch(2)], dropped: 0 })
  // A server may have written such a window down before it was sent.
  await using folder = await temporaryFolder()
  const buffer = await WindowBuffer.open({ folder: folder.path, filesMax: 8, bytesMax: 10_000_000 })
  await buffer.add([read(wire(3, 3))])
  assert.deepEqual((await buffer.next())?.windows.map(writeWindow), [wire(3, 3)])
})

test('of what another release could not merge, that which this one knows is merged, and what is wrong with it is told', () => {
  const series = (statistic: unknown): WireSeries => ({ name: 'scores', labels: {}, statistic: statistic as WireSeries['statistic'] })
  const count = (value: number): unknown => ({ kind: 'count', value })
  const read = readSeries([series({ kind: 'unmerged', parts: [count(2), sketch(1), count(3)], dropped: 1 })])
  assert.ok('value' in read)
  assert.deepEqual(
    read.value.map(({ statistic }) => statistic),
    [count(5), { kind: 'unmerged', parts: [sketch(1)], dropped: 1 }],
  )
  const wrong: unknown[] = [
    { kind: 'unmerged' },
    { kind: 'unmerged', parts: [1], dropped: 0 },
    { kind: 'unmerged', parts: [], dropped: -1 },
    { kind: 'unmerged', parts: [{ kind: 'count', value: 'many' }], dropped: 0 },
    { kind: 'unmerged', parts: [{ kind: 'unmerged', parts: [], dropped: 0 }], dropped: 0 },
  ]
  for (const one of wrong) assert.ok('issues' in readSeries([series(one)]), JSON.stringify(one))
})

eachDatabase('a row at rest that cannot be read is in the way of nothing that is added to it, and is kept', async (database) => {
  const clock = new TestClock()
  clock.pass(START + 60_000 - clock.epochMs())
  const windows = new Windows(database, clock)
  const counted = new Counted()
  const cutter = new WindowCutter({ server: 'one', bootId: 'boot' }, START)
  const add = async (endMs: number): Promise<void> => {
    counted.ask(200, 0.1)
    await windows.add('default', cutter.cut(counted.observed(), endMs), clock.epochMs())
  }
  await add(START + 10_000)
  const broken = { name: 'request_seconds', labels: {}, statistic: { kind: 'histogram', count: 'many' } }
  await database.write((write) =>
    write
      .updateTable('window_rollups')
      .set({ statistics: JSON.stringify([broken]) })
      .execute(),
  )
  await add(START + 20_000)
  const [hour] = await windows.list('default', { span: '1h', fromMs: START, untilMs: START + 60_000 })
  assert.ok(['unmerged', 'histogram'].every((kind) => hour!.series.some(({ statistic }) => statistic.kind === kind)))
})

test('windows as the first releases wrote them are read', () => {
  const histogram = new Histogram([1]).snapshot()
  const key = {
    source: 'online',
    server: 's',
    bootId: 'b',
    sequence: 1,
    endpoint: 'e',
    variant: 'v',
    model: 'm',
    version: '1',
    segment: 1,
    startMs: 0,
    endMs: 10_000,
  }
  const found = readWindow({
    apiVersion: 'slipway/v1',
    key,
    statistics: { 'request_seconds{protocol=v2,code=200}': histogram, rows: { kind: 'count', value: 2 } },
  })
  assert.ok('value' in found)
  assert.deepEqual(found.value.series, [
    { name: 'request_seconds', labels: { protocol: 'v2', code: 200 }, statistic: histogram },
    { name: 'rows', labels: {}, statistic: { kind: 'count', value: 2 } },
  ])
  assert.ok(
    'issues' in
      readWindow({ apiVersion: 'slipway/v1', key, series: [{ name: 'rows', labels: {}, statistic: { kind: 'count', value: 'many' } }] }),
  )
})

test('the file of windows has their tables alone, also where an earlier release had every table in it, and keeps what was seen', async () => {
  await using folder = await temporaryFolder()
  const url = (name: string) => `sqlite:${folder.path}/${name}.db`
  {
    await using earlier = await openPlace(url('old-windows'))
    await migrate(earlier, { migrations: FIRST_MIGRATIONS })
    const key = { environment: 'default', source: 's', server: 'a', boot_id: 'b', sequence: 1, subject: 'x', received_at: 5 }
    await earlier.write((write) => write.insertInto('window_keys').values(key).execute())
  }
  for (const [name, keys] of [
    ['old', 1],
    ['new', 0],
    // Once more, when it has been made.
    ['old', 1],
  ] as const) {
    await using windows = await openWindowsDatabase(url(name), { migrations: [] })
    const { rows } = await sql<{ name: string }>`select name from sqlite_schema where type = 'table' order by name`.execute(windows.read)
    assert.deepEqual(
      rows.map((row) => row.name),
      ['slipway_migrations', 'window_keys', 'window_rollups'],
    )
    assert.equal((await windows.read.selectFrom('window_keys').selectAll().execute()).length, keys)
  }
})
