/** Records at rest: counted once, made into hours, read by everybody's programs, and gone when their time is over. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { Records } from '../../src/records/records.ts'
import { compact } from '../../src/records/compaction.ts'
import { openObjectStore } from '../../src/storage/objects/open.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { recordsAt, send } from './recorded.ts'
import type { Plane } from '../api/in-plane.ts'

const HOUR_MS = 3_600_000
/** Start of an hour that is over. */
const THEN = Math.floor(Date.now() / HOUR_MS - 5) * HOUR_MS

/** Makes partitions of everything now, beside the work in the background, which may be doing the same. */
async function compacted(plane: Plane): Promise<void> {
  const { ground, objects } = plane.plane.services
  while ((await rowsOf(plane, 'record_batches')).length > 0)
    await compact({ ...ground, objects }, Date.now() + 1).catch((error: unknown) => {
      if (!isSlipwayError(error) || error.code !== 'SLW_CONFLICT') throw error
    })
}

async function rowsOf(plane: Plane, table: 'record_batches' | 'record_partitions' | 'record_leftovers'): Promise<any[]> {
  return await plane.plane.services.ground.database.read.selectFrom(table).selectAll().execute()
}

/** A day of two endpoints: each record's id says its number. */
async function sendDay(plane: Plane): Promise<void> {
  for (let file = 0; file < 6; file++)
    await send(
      plane,
      Array.from({ length: 20 }, (_, index) => ({
        id: `r${String(file * 20 + index).padStart(3, '0')}`,
        time: THEN + (file * 20 + index) * 60_000,
        endpoint: index % 2 === 0 ? 'churn' : 'pri.ce_s',
        unit: `customer-${index % 5}`,
        inputs: { age: [index], name: ['ä "quoted", =1'] },
      })),
    )
}

for (const kind of ['a file and a folder', 'PostgreSQL and S3'])
  describe(`records in ${kind}`, { timeout: 300_000 }, () => {
    test('come in pages, newest first, the same before and after they are hours', async () => {
      await using opened = new AsyncDisposableStack()
      const far = kind.includes('S3')
      const more = far ? { database: await newMigratedPostgres(), objects: opened.use(await startS3Server()).urlOf('registry') } : {}
      const plane = opened.use(await planeInProcess(more))
      await sendDay(plane)
      const before = await recordsAt(plane)
      assert.equal(before.total, 120)
      const ids = before.items.map(({ id }) => id)
      assert.deepEqual(ids, ids.toSorted().toReversed())
      await compacted(plane)
      assert.deepEqual(await rowsOf(plane, 'record_batches'), [])
      const partitions = await rowsOf(plane, 'record_partitions')
      assert.equal(new Set(partitions.map(({ hour_ms }) => hour_ms)).size, 2)
      assert.deepEqual(new Set(partitions.map(({ endpoint }) => endpoint)), new Set(['churn', 'pri.ce_s']))
      assert.deepEqual(await recordsAt(plane), before)
      const churn: unknown[] = []
      for (let token = ''; ;) {
        const { body } = await plane.ask('GET', `/records?endpoint=churn&limit=7${token}`)
        churn.push(...body.items)
        assert.equal(body.total, 60)
        if (body.nextPageToken === undefined) break
        token = `&pageToken=${encodeURIComponent(body.nextPageToken)}`
      }
      assert.deepEqual(
        churn,
        before.items.filter(({ endpoint }) => endpoint === 'churn'),
      )
      // What was sent is still there for whoever is reading it, and goes an hour later.
      assert.equal((await rowsOf(plane, 'record_leftovers')).length, 6)
      const { ground, objects, work } = plane.plane.services
      const later = new Records({
        ...ground,
        objects,
        work,
        lifeMs: 30 * 24 * HOUR_MS,
        alsoForget: () => Promise.resolve(),
        clock: { ...ground.clock, epochMs: () => Date.now() + HOUR_MS + 60_000 },
      })
      await later.sweep(ground.database, new AbortController().signal)
      assert.deepEqual(await rowsOf(plane, 'record_leftovers'), [])
      assert.deepEqual(await recordsAt(plane), before)
      // After their time partitions go, and their objects an hour later.
      const old = (inMs: number) =>
        new Records({
          ...ground,
          objects,
          work,
          lifeMs: HOUR_MS,
          alsoForget: () => Promise.resolve(),
          clock: { ...ground.clock, epochMs: () => Date.now() + inMs },
        })
      assert.equal(await old(0).sweep(ground.database, new AbortController().signal), partitions.length)
      assert.equal((await recordsAt(plane)).total, 0)
      await old(2 * HOUR_MS).sweep(ground.database, new AbortController().signal)
      const left: string[] = []
      for await (const { key } of objects.list('records')) left.push(key)
      assert.deepEqual(left, [])
    })
  })

test('a file counts once, and lines that are none, too old or of the future are not taken as they are', async () => {
  await using plane = await planeInProcess()
  const day = 24 * HOUR_MS
  const times = [Date.now() - 9 * day, Date.now() - 7 * day, Date.now() + day]
  assert.deepEqual(
    await send(
      plane,
      times.map((time) => ({ time })),
      { sequence: 7000 },
    ),
    { kept: 2, dropped: 1 },
  )
  assert.deepEqual(await send(plane, [{}], { sequence: 7000 }), { kept: 0, dropped: 0 })
  const path = `/servers/one/records?bootId=${'b'.repeat(16)}&sequence=0&sentAt=${Date.now()}`
  const { status, body } = await plane.ask('POST', path, 'nonsense\n{"id":"x"}\n', { 'content-type': 'application/x-ndjson' })
  assert.deepEqual([status, body], [200, { kept: 0, dropped: 2 }])
  const { items, total } = await recordsAt(plane)
  assert.equal(total, 2)
  assert.ok(items[0]!.time <= Date.now(), 'no record is of the future')
  // A server whose clock is an hour late.
  await send(plane, [{ id: 'late', time: Date.now() - HOUR_MS }], { sentAt: Date.now() - HOUR_MS })
  const late = (await recordsAt(plane)).items.find(({ id }) => id === 'late')
  assert.ok(Math.abs(late!.time - Date.now()) < 10_000)
  const large = await plane.ask('POST', path, 'x'.repeat(5_000_000), { 'content-type': 'application/x-ndjson' })
  assert.deepEqual([large.status, large.body.code], [413, 'SLW_BODY_TOO_LARGE'])
})

test('a page has no more records than fit into an answer, and the next one goes on', async () => {
  await using plane = await planeInProcess()
  const text = 'x'.repeat(200_000)
  for (let file = 0; file < 4; file++)
    await send(
      plane,
      Array.from({ length: 15 }, (_, index) => ({ time: Date.now() - file * 1000 - index, inputs: { text: [text] } })),
    )
  const ids: string[] = []
  let pages = 0
  for (let token = ''; ; pages++) {
    const { body } = await plane.ask('GET', `/records?limit=100${token}`)
    ids.push(...body.items.map(({ id }: { id: string }) => id))
    assert.ok(body.items.length < 45)
    if (body.nextPageToken === undefined) break
    token = `&pageToken=${encodeURIComponent(body.nextPageToken)}`
  }
  assert.deepEqual([new Set(ids).size, ids.length, pages], [60, 60, 1])
})

test('a server speaks for itself only', async () => {
  await using plane = await planeInProcess()
  const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const { key } = (await plane.ask('POST', '/servers/join', { server: 'two' }, { authorization: `Bearer ${root}` })).body as { key: string }
  const path = (server: string) => `/servers/${server}/records?bootId=${'b'.repeat(16)}&sequence=0&sentAt=${Date.now()}`
  const as = { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson' }
  assert.equal((await plane.ask('POST', path('one'), '\n', as)).status, 403)
  assert.equal((await plane.ask('POST', path('two'), '\n', as)).status, 200)
  assert.equal((await plane.ask('GET', '/records', undefined, as)).status, 403)
})

test('DuckDB and pandas read an export and a partition as it lies in the store', { timeout: 300_000 }, async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await sendDay(plane)
  const python = await pythonEnv('records')
  const file = (name: string): string => join(folder.path, name)
  for (const [when, prepare] of [
    ['before', () => Promise.resolve()],
    ['after', () => compacted(plane)],
  ] as const) {
    await prepare()
    const from = new Date(THEN + HOUR_MS).toISOString()
    for (const name of [`${when}.parquet`, `${when}.jsonl`, `${when}.csv`]) {
      const { code, stderr } = await slipway(['records', 'export', 'churn', '--file', file(name), '--from', from, '--url', plane.url])
      assert.equal(code, 0, stderr)
    }
  }
  const { objects } = plane.plane.services
  const [partition] = await rowsOf(plane, 'record_partitions')
  const pieces: Uint8Array[] = []
  for await (const piece of await objects.get(partition.object_key)) pieces.push(piece)
  await writeFile(file('partition'), Buffer.concat(pieces))
  const program = await folder.write(
    'read.py',
    `
import duckdb, json, pandas, sys
folder = sys.argv[1]
said = []
for when in ['before', 'after']:
    said.append(duckdb.sql(f"""select count(*), min(id), max(time)::varchar, sum(weight), sum((inputs->'$.age[0]')::int), min(unit)
        from read_parquet('{folder}/{when}.parquet')""").fetchall()[0])
    frame = pandas.read_parquet(f'{folder}/{when}.parquet')
    said.append([len(frame), str(frame['time'].dtype), json.loads(frame['inputs'][0])['name'][0], list(frame.columns)])
    said.append([len(pandas.read_csv(f'{folder}/{when}.csv')), len(pandas.read_json(f'{folder}/{when}.jsonl', lines=True))])
said.append(duckdb.sql(f"select count(*), max(endpoint) from read_parquet('{folder}/partition')").fetchall()[0])
print(json.dumps(said))
`,
  )
  const { stdout } = await promisify(execFile)(python, [program, folder.path])
  const [duck, pandas, others, ...rest] = JSON.parse(stdout) as any[]
  assert.deepEqual(duck.slice(0, 2), [30, 'r060'])
  assert.match(duck[2], /^20\d\d-/)
  assert.deepEqual(duck.slice(3), [30, 30 * 9, 'customer-0'])
  assert.equal(pandas[0], 30)
  assert.match(pandas[1], /^datetime64/)
  assert.equal(pandas[2], 'ä "quoted", =1')
  assert.deepEqual(others, [30, 30])
  assert.deepEqual(rest.slice(0, 3), [duck, pandas, others])
  assert.equal(rest[3][0], partition.row_count)
  assert.match(await readFile(file('after.csv'), 'utf8'), /"{""age"":\[0\],""name"":\[""ä \\""quoted\\"", =1""\]}"/)
  const none = await slipway(['records', 'export', 'nothing', '--file', file('none.parquet'), '--url', plane.url])
  assert.equal(none.code, 0, none.stderr)
  const wrong = await slipway(['records', 'export', 'churn', '--file', file('x.xls'), '--url', plane.url])
  assert.match(wrong.stderr, /expected a name that ends in \.parquet, \.jsonl or \.csv/)
  const shown = await slipway(['records', 'tail', 'churn', '--limit', '3', '--url', plane.url])
  assert.match(shown.stdout, /r118/)
})

test('a store opened by a URL has records where their key says', async () => {
  await using folder = await temporaryFolder()
  const objects = join(folder.path, 'objects')
  await using plane = await planeInProcess({ objects: `file:${objects}` })
  await sendDay(plane)
  await compacted(plane)
  await using store = await openObjectStore(objects)
  const keys: string[] = []
  for await (const { key } of store.list('records/default/pri-ce-s/')) keys.push(key)
  assert.equal(keys.length, 2)
  assert.match(keys[0]!, /^records\/default\/pri-ce-s\/\d{4}-\d\d-\d\d\/\d\d\/[0-9a-f]{32}$/)
})
