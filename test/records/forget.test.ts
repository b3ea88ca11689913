/** A unit that is forgotten is nowhere any more: in no file of the control plane or of a server, wherever its records were. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { compact } from '../../src/records/compaction.ts'
import { readObject } from '../../src/records/sources.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { slipway } from '../cli/slipway.ts'
import { follows } from '../following/following.ts'
import { freePort, until } from '../fixtures.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { filesWith, linesOf, people, recordsAt, recordsOnceThere, send } from './recorded.ts'
import type { Plane } from '../api/in-plane.ts'

const HOUR_MS = 3_600_000
const ERASED = 'erased-4711-unit'
const STAYS = 'stays-4712-unit'

async function compacted(plane: Plane): Promise<void> {
  const { ground, objects } = plane.plane.services
  await compact({ ...ground, objects }, Date.now() + 1).catch((error: unknown) => {
    if (!isSlipwayError(error) || error.code !== 'SLW_CONFLICT') throw error
  })
}

/** Objects of the store that have a record of the unit, whether or not a row refers to them. */
async function objectsOf(plane: Plane, unit: string): Promise<string[]> {
  const { objects } = plane.plane.services
  const found: string[] = []
  for await (const { key } of objects.list('records'))
    if ((await readObject(objects, key)).some((record) => record.unit === unit)) found.push(key)
  return found
}

/** Records of a unit, as the API has them. */
async function idsAt(plane: Plane, unit: string): Promise<number> {
  return (await recordsAt(plane)).items.filter((record) => record.unit === unit).length
}

for (const kind of ['a file and a folder', 'PostgreSQL and S3'])
  describe(`a unit with records in ${kind}`, { timeout: 200_000 }, () => {
    test('is forgotten in partitions, in files as they arrived, and in what arrives later', async () => {
      await using opened = new AsyncDisposableStack()
      const data = opened.use(await temporaryFolder())
      const s3 = kind.includes('S3') ? opened.use(await startS3Server()) : undefined
      const more = s3 === undefined ? {} : { database: await newMigratedPostgres(), objects: s3.urlOf('registry') }
      const plane = opened.use(await planeInProcess({ data: data.path, ...more }))
      const both = (time: number) => [ERASED, STAYS].map((unit) => ({ unit, time, inputs: { note: [unit] } }))
      for (let hour = 1; hour <= 3; hour++) await send(plane, both(Date.now() - hour * HOUR_MS))
      await compacted(plane)
      await send(plane, both(Date.now()))
      assert.deepEqual([await idsAt(plane, ERASED), await idsAt(plane, STAYS)], [4, 4])
      const places = [data.path, ...(s3 === undefined ? [] : [s3.folder])]
      assert.ok((await Promise.all(places.map((place) => filesWith(place, ERASED)))).flat().length > 0, 'it would be found')
      assert.ok((await objectsOf(plane, ERASED)).length >= 4)
      const { code, stdout, stderr } = await slipway(['records', 'forget', ERASED, '--url', plane.url])
      assert.equal(code, 0, stderr)
      assert.deepEqual(await objectsOf(plane, ERASED), [])
      assert.match(stdout, /^4 records are removed/)
      for (const place of places) assert.deepEqual(await filesWith(place, ERASED), [])
      assert.deepEqual([await idsAt(plane, ERASED), await idsAt(plane, STAYS)], [0, 4])
      // What was on its way, and what comes of a new life.
      const late = await send(plane, [...both(Date.now() - HOUR_MS), ...both(Date.now() - 1000)])
      assert.deepEqual(late, { kept: 2, dropped: 2 })
      for (const place of places) assert.deepEqual(await filesWith(place, ERASED), [])
      const { items } = (await plane.ask('GET', '/events?kind=records')).body as { items: { name: string; action: string }[] }
      assert.match(items[0]!.name, /^[0-9a-f]{8}$/)
      assert.equal(items[0]!.action, 'deleted')
      // Once more, there is nothing to do.
      const again = await slipway(['records', 'forget', ERASED, '--url', plane.url])
      assert.match(again.stdout, /^0 records are removed/)
    })
  })

test('a unit that waits in the spool of a server is dropped when it arrives, and in no file after that', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  const data = join(folder.path, 'data')
  const port = await freePort()
  {
    await using plane = await planeInProcess({ data, port })
    await people(plane)
  }
  const store = join(folder.path, 'server')
  let plane = await planeInProcess({ data, port })
  await using server = await follows(plane.url, store)
  await plane[Symbol.asyncDispose]()
  for (const unit of [ERASED, STAYS]) {
    const response = await fetch(`${server.url}/models/people/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'slipway-unit': unit },
      body: JSON.stringify({ name: 'a', mail: 'b', city: unit }),
    })
    assert.equal(response.status, 200)
  }
  await until(async () => (await filesWith(store, ERASED)).length > 0, 'it is in the spool')
  // The server must not send it before it is forgotten.
  const elsewhere = await planeInProcess({ data })
  const { code, stderr } = await slipway(['records', 'forget', ERASED, '--url', elsewhere.url])
  assert.equal(code, 0, stderr)
  await elsewhere[Symbol.asyncDispose]()
  plane = await planeInProcess({ data, port })
  await using _plane = plane
  const records = await recordsOnceThere(plane, 1)
  assert.deepEqual(
    records.map(({ unit, inputs }) => [unit, inputs['city']]),
    [[STAYS, [STAYS]]],
  )
  await until(async () => (await filesWith(store, ERASED)).length === 0, 'the spool has let it go')
  assert.deepEqual(await filesWith(data, ERASED), [])
})

/** Steps of which each is killed once, with what brings the control plane there. */
const KILLED = ['records.arrived', 'records.kept', 'records.partition', 'records.compacted', 'records.rewritten', 'records.let-go'] as const

describe('a control plane that is killed', { timeout: 400_000 }, () => {
  for (const step of KILLED)
    test(`at ${step} loses no record, counts none twice, and forgets what it was to forget`, async () => {
      await using folder = await temporaryFolder()
      const data = join(folder.path, 'data')
      const trigger = join(folder.path, 'now')
      const environment = { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` }
      const push = async (url: string, file: number, hoursAgo: number): Promise<number | undefined> => {
        const records = [ERASED, STAYS].map((unit) => ({ id: `${file}-${unit}`, unit, time: Date.now() - hoursAgo * HOUR_MS }))
        const path = `/servers/one/records?bootId=${'c'.repeat(16)}&sequence=${file}&sentAt=${Date.now()}`
        const request = { method: 'POST', body: linesOf(records), headers: { 'content-type': 'application/x-ndjson' } }
        return (await fetch(`${url}/api/v1${path}`, request).catch(() => undefined))?.status
      }
      const forget = (url: string) =>
        fetch(`${url}/api/v1/records/forget`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ unit: ERASED }),
        }).catch(() => undefined)
      {
        await using plane = await upInChild(['--data', data, '--no-server'], environment)
        // One file that is in a partition by then, and one that is not.
        assert.equal(await push(plane.url, 0, 2), 200)
        const partitioned = async () =>
          (await readdir(join(data, 'objects'), { recursive: true })).some((name) => /records_default/.test(name))
        if (step === 'records.rewritten') await until(partitioned, 'its hour is written')
        await folder.write('now', '')
        await push(plane.url, 1, 0)
        await forget(plane.url)
        await plane.exit
      }
      await using plane = await upInChild(['--data', data, '--no-server'])
      // A server sends again what was not acknowledged, and also what was.
      assert.equal(await push(plane.url, 1, 0), 200)
      await forget(plane.url)
      await until(async () => (await filesWith(data, ERASED)).length === 0, 'it is forgotten', 60_000)
      const { items, total } = (await (await fetch(`${plane.url}/api/v1/records`)).json()) as { items: { id: string }[]; total: number }
      assert.deepEqual(items.map(({ id }) => id).toSorted(), [`0-${STAYS}`, `1-${STAYS}`])
      assert.equal(total, 2)
    })
})
