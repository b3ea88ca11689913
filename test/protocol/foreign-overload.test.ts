/** What the dialects of other servers tell clients for whom there is no room, or no time. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { freePort } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slow } from './served-models.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const ROWS = Array.from({ length: 2000 }, () => 1)
const CLIENTS = 8

let folder: TemporaryFolder
let server: SlipwayServer
const tensorflow = await freePort()
before(async () => {
  folder = await temporaryFolder()
  await folder.write('slow/1/model.onnx', slow())
  server = await startServer({
    models: [{ path: folder.path }],
    port: 0,
    serving: { instances: 1, queueRequests: 1, inlineMaxUs: 0 },
    dialects: `kserve-v1,torchserve,tfserving@${tensorflow}`,
  })
})
after(async () => {
  await server.close()
  await folder[Symbol.asyncDispose]()
})

for (const [dialect, ask, keys, late] of [
  ['kserve-v1', () => ({ url: `${server.url}/v1/models/slow:predict`, rows: { instances: ROWS } }), ['error'], 504],
  ['tfserving', () => ({ url: `http://127.0.0.1:${tensorflow}/v1/models/slow:predict`, rows: { instances: ROWS } }), ['error'], 504],
  ['torchserve', () => ({ url: `${server.url}/predictions/slow`, rows: { inputs: ROWS } }), ['code', 'message', 'type'], 408],
] as const)
  describe(dialect, () => {
    const send = async (headers: Record<string, string> = {}): Promise<Response> => {
      const { url, rows } = ask()
      const type = { 'content-type': 'application/json' }
      return await fetch(url, { method: 'POST', headers: { ...type, ...headers }, body: JSON.stringify(rows) })
    }

    it('tells clients for whom there is no room to come back: 503 with Retry-After, in its form', async () => {
      const responses = await Promise.all(Array.from({ length: CLIENTS }, () => send()))
      const statuses = new Set(responses.map(({ status }) => status))
      assert.deepEqual(statuses, new Set([200, 503]))
      const refused = responses.find(({ status }) => status === 503)!
      assert.ok(Number(refused.headers.get('retry-after')) >= 1)
      const body = (await refused.json()) as Record<string, unknown>
      assert.deepEqual(Object.keys(body).toSorted(), keys)
      if (dialect === 'torchserve') assert.equal(body['type'], 'ServiceUnavailableException')
    })

    it(`tells a client whose time is over: ${late}`, async () => {
      const response = await send({ 'slipway-timeout-ms': '1' })
      const body = (await response.json()) as Record<string, unknown>
      assert.equal(response.status, late, JSON.stringify(body))
      if (dialect === 'torchserve') assert.equal(body['type'], 'RequestTimeoutException')
    })
  })
