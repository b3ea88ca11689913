/** Records from a request to the control plane: of a sample, without what is marked, and once. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOf } from '../../src/serving/records/redaction.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { adders, follows } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { endpoint, filesWith, people, recordsAt, recordsOnceThere } from './recorded.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

async function ask(server: Pick<SlipwayServer, 'url'>, row: object, headers: Record<string, string> = {}): Promise<any> {
  const response = await fetch(`${server.url}/models/people/predict`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(row),
  })
  assert.equal(response.status, 200, await response.clone().text())
  return await response.json()
}

test(
  'what was asked and answered is kept by feature, without what the package marks, in no file of either side',
  { timeout: 60_000 },
  async () => {
    await using folder = await temporaryFolder()
    await using data = await temporaryFolder()
    await using plane = await planeInProcess({ data: data.path })
    await people(plane, { records: 1, recordsDrop: ['y'] })
    await using server = await follows(plane.url, folder.path)
    const before = Date.now()
    const row = { name: 'Ada Lovelace', mail: 'ada@example.org', city: 'London' }
    await ask(server, row)
    await ask(server, { ...row, city: 'Paris' })
    const records = await recordsOnceThere(plane, 2)
    const [{ id, time, durationMs, inputs, ...rest }] = records as [(typeof records)[0], ...typeof records]
    assert.match(id, /^[0-9a-f]{24}$/)
    assert.ok(time >= before - 1000 && time <= Date.now() + 1000 && durationMs > 0)
    assert.deepEqual(Object.keys(inputs), ['mail', 'city'])
    assert.deepEqual(inputs['city'], ['Paris'])
    const [digest] = inputs['mail'] as [string]
    assert.match(digest, /^hmac:[\w-]{22}$/)
    assert.deepEqual(records[1]!.inputs, { mail: [digest], city: ['London'] })
    assert.deepEqual(rest, {
      endpoint: 'people',
      model: 'people',
      version: '1',
      variant: 'main',
      assigned: 'main',
      segment: rest.segment,
      assignment: 'only',
      rows: 1,
      outputs: {},
      weight: 1,
    })
    for (const secret of ['Lovelace', 'ada@example.org'])
      for (const place of [folder.path, data.path]) assert.deepEqual(await filesWith(place, secret), [])
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    assert.match(metrics, /^slipway_records_total 2$/m)
  },
)

test(
  'servers with one key have equal digests of equal values, and a package marked by an endpoint stays marked',
  { timeout: 60_000 },
  async () => {
    await using folder = await temporaryFolder()
    await using plane = await planeInProcess()
    // What an endpoint adds takes nothing away of what the package marks.
    await people(plane, { records: 1, recordsHash: ['name', 'city'], recordsDrop: [] })
    await using server = await follows(plane.url, folder.path, {
      environment: { KEY: 'of both' },
      controlPlane: { recordsKey: 'env:KEY' },
    })
    await ask(server, { name: 'Ada', mail: 'ada@example.org', city: 'London' })
    const [record] = await recordsOnceThere(plane, 1)
    const key = Buffer.from('of both')
    assert.deepEqual(record!.inputs, { mail: [digestOf('ada@example.org', key)], city: [digestOf('London', key)] })
  },
)

test('nothing is recorded where nobody asks for it, and a share of it where a share is asked for', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await adders(plane, 1)
  await endpoint(plane, 'adder', {})
  await using server = await follows(plane.url, folder.path)
  assert.equal(server.dataPlane.taps.any, false)
  await endpoint(plane, 'adder', { records: 0.25 })
  for (let wait = 0; !server.dataPlane.taps.any; wait++) {
    assert.ok(wait < 400, 'the change has come')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  const body = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, Number.MAX_VALUE] }] })
  for (let asked = 0; asked < 400; asked++) {
    const response = await fetch(`${server.url}/v2/models/adder/infer`, { method: 'POST', body })
    assert.equal(response.status, 200)
    await response.arrayBuffer()
  }
  const records = await recordsOnceThere(plane, 60)
  assert.ok(records.length < 140, String(records.length))
  assert.ok(records.every(({ weight }) => weight === 4))
  assert.deepEqual(records[0]!.inputs, { x: [[1, 2, 3, null]] })
  assert.deepEqual(records[0]!.outputs['y'], [[2, 3, 4, null]])
  await endpoint(plane, 'adder', {})
  for (let wait = 0; server.dataPlane.taps.any; wait++) {
    assert.ok(wait < 400, 'the change has come')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
})

test('a name that no field has turns recording off, and is told', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await people(plane, { records: 1, recordsDrop: ['cite'] })
  const told: string[] = []
  const logger = { debug() {}, info() {}, warn() {}, error: (_: object, message: string) => void told.push(message) }
  await using server = await follows(plane.url, folder.path, { logger })
  await ask(server, { name: 'a', mail: 'b', city: 'c' })
  assert.equal(server.dataPlane.taps.any, false)
  assert.match(told.join('\n'), /nothing is recorded: recordsDrop and recordsHash name cite/)
})

test('the last records of a server that ends are there, and its spool is empty', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await people(plane)
  {
    await using server = await follows(plane.url, folder.path)
    for (let asked = 0; asked < 5; asked++) await ask(server, { name: 'a', mail: 'b', city: 'c' })
    await server.drain()
  }
  assert.equal((await recordsAt(plane)).total, 5)
  assert.deepEqual(await filesWith(join(folder.path, 'store', 'records'), 'hmac:'), [])
})
