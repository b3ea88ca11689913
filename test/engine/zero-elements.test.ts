import assert from 'node:assert/strict'
import { it } from 'node:test'
import { post, serveExamples } from '../fixtures.ts'

it('many rows without elements are answered, and the instance goes on', async () => {
  await using server = await serveExamples(['recommend'], { serving: { instances: 1, inlineMaxUs: 0, runTimeoutMs: 1500 } })
  const infer = `${server.url}/v2/models/recommend/infer`
  const rows = 100
  const empty = {
    inputs: [
      { name: 'user', datatype: 'INT64', shape: [rows], data: Array.from({ length: rows }, () => 1) },
      { name: 'items', datatype: 'INT64', shape: [rows, 0], data: [] },
    ],
  }
  const { status, body } = await post(infer, empty)
  assert.equal(status, 200, JSON.stringify(body))
  assert.deepEqual((body['outputs'] as { shape: number[] }[])[0]?.shape, [rows, 0])
  for (let index = 0; index < 3; index++) assert.equal((await post(`${server.url}/predict`, { user: 1, items: [1, 2] })).status, 200)
})
