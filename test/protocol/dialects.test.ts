import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { resolveServer } from '../../src/server/options.ts'
import { CUSTOMER, freePort, post, serveExamples } from '../fixtures.ts'

const QUESTION = { inputs: [{ name: 'customers', datatype: 'FP32', shape: [1, 10], data: [2, 95.5, 6, 1, 0, 0, 1, 0, 0, 1] }] }

describe('the dialects of a server', () => {
  it('are those of Slipway and of the Open Inference Protocol, unless others are chosen', async () => {
    await using server = await serveExamples(['churn'], { dialects: 'predict' })
    assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
    const other = await post(`${server.url}/v2/models/churn/infer`, QUESTION)
    assert.equal(other.status, 404)
    assert.match(
      JSON.stringify(other.body),
      /that route is of the Open Inference Protocol \(--dialects predict,v2\), which this server was not told to speak/,
    )
    assert.equal((await fetch(`${server.url}/v2/health/ready`)).status, 200, 'probes are no dialect')
  })

  it('may have ports of their own, where health is answered too', async () => {
    const port = await freePort()
    await using server = await serveExamples(['churn'], { dialects: `predict, v2@${port}` })
    const apart = `http://127.0.0.1:${port}`
    const answered = await post(`${apart}/v2/models/churn/infer`, QUESTION)
    assert.equal(answered.status, 200, JSON.stringify(answered.body))
    assert.equal((await fetch(`${apart}/ready`)).status, 200)
    assert.equal((await post(`${apart}/predict`, CUSTOMER)).status, 404)
    assert.equal((await post(`${server.url}/v2/models/churn/infer`, QUESTION)).status, 404)
    assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
  })

  it('are named by name: what there is not, and what comes twice, is refused', () => {
    assert.throws(() => resolveServer({ dialects: 'v2,soap' }), /there is no dialect "soap"; there are v2, predict, kserve-v1.*, grpc/)
    assert.throws(() => resolveServer({ dialects: 'v2,v2@9000' }), /"v2" is named twice/)
    assert.throws(() => resolveServer({ dialects: 'v2@70000' }), /70000 is no port/)
  })
})

it('an answer names the variant that gave it', async () => {
  await using server = await serveExamples(['churn'])
  const { headers } = await post(`${server.url}/predict`, CUSTOMER)
  assert.deepEqual([headers.get('slipway-model'), headers.get('slipway-variant'), headers.get('slipway-version')], ['churn', 'v1', '1'])
})
