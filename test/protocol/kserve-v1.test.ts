import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { ask } from '../asking.ts'
import { CUSTOMER, example, freePort, post } from '../fixtures.ts'
import { servedModels } from './served-models.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

let folder: TemporaryFolder
let server: SlipwayServer
before(async () => {
  folder = await servedModels()
  server = await startServer({
    models: [{ path: folder.path }, { path: example('churn') }, { path: example('digits') }],
    port: 0,
    dialects: 'v2,kserve-v1',
  })
})
after(async () => {
  await server.close()
  await folder[Symbol.asyncDispose]()
})

const predict = (model: string, body: unknown, headers?: Record<string, string>): ReturnType<typeof post> =>
  post(`${server.url}/v1/models/${model}:predict`, body, headers)
const get = async (path: string): Promise<readonly [number, unknown]> => {
  const response = await fetch(`${server.url}${path}`)
  return [response.status, await response.json()]
}

describe('kserve-v1', () => {
  it('says that the server is alive, which models there are, and that one is ready', async () => {
    assert.deepEqual(await get('/'), [200, { status: 'alive' }])
    assert.deepEqual(await get('/v1/models'), [200, { models: ['half_plus_two', 'several', 'wide', 'churn', 'digits'] }])
    assert.deepEqual(await get('/v1/models/half_plus_two'), [200, { name: 'half_plus_two', ready: true }])
    const [status, body] = await get('/v1/models/halfplus')
    assert.equal(status, 404)
    assert.match(JSON.stringify(body), /^\{"error":"no model \\"halfplus\\" is served/)
  })

  it('predicts from values, lists and objects, and answers with what was predicted', async () => {
    for (const [model, body, predictions] of [
      ['half_plus_two', { instances: [1, 2, 5] }, [2.5, 3, 4.5]],
      ['half_plus_two', { instances: [[1], [2]], parameters: { anything: 1 } }, [2.5, 3]],
      ['half_plus_two', { inputs: [1] }, [2.5]],
      ['half_plus_two', { instances: [] }, []],
      [
        'wide',
        {
          instances: [
            [1, 2],
            [3, 4],
          ],
        },
        [
          [1, 2],
          [3, 4],
        ],
      ],
      ['churn', { instances: [CUSTOMER, Object.values(CUSTOMER)] }, ['churn', 'churn']],
    ] as const) {
      const answered = await predict(model, body)
      assert.deepEqual([answered.status, answered.body], [200, { predictions }], JSON.stringify(body))
    }
  })

  it('keeps the digits of 64-bit integers, and names several outputs', async () => {
    const body = '{"instances":[{"number":9007199254740993,"words":["a",{"b64":"w7w="}]}]}'
    const { text } = await ask(`${server.url}/v1/models/several:predict`, { body, headers: { 'content-type': 'application/json' } })
    assert.equal(text, '{"predictions":[{"same":9007199254740993,"words_bytes":["a","ü"]}]}')
  })

  it('reads pictures in base64, as TensorFlow and KServe have them', async () => {
    const b64 = (await readFile(`${example('digits')}/digit-7.png`)).toString('base64')
    const { status, body } = await predict('digits', { instances: [{ b64 }, { image_bytes: { b64 } }, { image: b64 }] })
    assert.deepEqual([status, body], [200, { predictions: ['7', '7', '7'] }], JSON.stringify(body))
  })

  it('reads and writes large bodies in another thread, and every number of them', async () => {
    const rows = Array.from({ length: 60_000 }, (_, row) => [row, row + 0.5, -1 - row, 1e-7 * row, 0.125])
    const body = JSON.stringify({ instances: rows })
    assert.ok(body.length > 2 * 1024 * 1024, `${body.length} bytes are large`)
    const { status, body: answer } = await predict('wide', body)
    assert.equal(status, 200)
    assert.deepEqual(
      answer['predictions'],
      rows.map((row) => row.map(Math.fround)),
    )
  })

  for (const [what, model, body, status, message] of [
    ['JSON that is none', 'wide', '{', 400, /JSON body/],
    ['no instances', 'wide', { x: 1 }, 400, /unknown key; expected "instances"/],
    ['instances that are no list', 'wide', { instances: 'x' }, 400, /instances: expected a list of rows/],
    ['another shape', 'half_plus_two', { instances: [[1, 2]] }, 400, /has shape \[1, 2\], expected \[-1, 1\]/],
    ['another datatype', 'wide', { instances: [['a', 'b']] }, 400, /expected a number/],
    ['a missing input', 'several', { instances: [{ number: 1 }] }, 400, /inputs.words: missing/],
    ['a category that is none', 'churn', { instances: [{ ...CUSTOMER, plan: 'gold' }] }, 400, /instances\[0\]\.plan: "gold" is not one of/],
    ['a model that is not served', 'nobody', { instances: [1] }, 404, /no model "nobody"/],
  ] as const)
    it(`answers ${status} in KServe's form for ${what}`, async () => {
      const answered = await predict(model, body)
      assert.equal(answered.status, status, JSON.stringify(answered.body))
      assert.deepEqual(Object.keys(answered.body), ['error'])
      assert.match(String(answered.body['error']), message)
    })

  it('has no explainers, and says so', async () => {
    const { status, body } = await post(`${server.url}/v1/models/wide:explain`, { instances: [[1]] })
    assert.deepEqual([status, body], [501, { error: 'the model "wide" has no explainer: this server answers :predict' }])
    assert.equal((await post(`${server.url}/v1/models/nobody:explain`, {})).status, 404)
    assert.equal((await post(`${server.url}/v1/models/wide:generate`, {})).status, 404)
    assert.equal((await fetch(`${server.url}/v1/models/wide:predict`)).status, 405)
  })

  it('refuses bodies that are not JSON by their type', async () => {
    const { status, body } = await predict('wide', 'a,b\n1,2', { 'content-type': 'text/csv' })
    assert.equal(status, 415)
    assert.match(String(body['error']), /Content-Type "text\/csv" is not read/)
  })
})

describe('CloudEvents to kserve-v1', () => {
  const attributes = { specversion: '1.0', id: 'a', source: '/a', type: 'asked' }
  const headers = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]))

  it('in binary mode are answered in binary mode', async () => {
    const answered = await predict('half_plus_two', { instances: [1] }, headers)
    assert.deepEqual([answered.status, answered.body], [200, { predictions: [2.5] }])
    const ce = (name: string): string | null => answered.headers.get(`ce-${name}`)
    assert.deepEqual(['specversion', 'source', 'type'].map(ce), [
      '1.0',
      'io.kserve.inference.half_plus_two',
      'io.kserve.inference.response',
    ])
    assert.ok(ce('id') !== null && ce('id') !== 'a')
    assert.ok(Date.parse(ce('time') ?? '') > 0)
  })

  it('in structured mode are answered in structured mode, from data as JSON and as bytes', async () => {
    const type = { 'content-type': 'application/cloudevents+json; charset=utf-8' }
    const data = { instances: [1] }
    for (const event of [
      { ...attributes, data },
      { data, ...attributes, datacontenttype: 'application/json' },
      { ...attributes, data_base64: Buffer.from(JSON.stringify(data)).toString('base64') },
    ]) {
      const { status, body, headers: answered } = await predict('half_plus_two', event, type)
      assert.equal(status, 200, JSON.stringify(body))
      assert.equal(answered.get('content-type'), 'application/cloudevents+json')
      const { id, time, ...rest } = body
      assert.deepEqual(rest, {
        specversion: '1.0',
        source: 'io.kserve.inference.half_plus_two',
        type: 'io.kserve.inference.response',
        data: { predictions: [2.5] },
      })
      assert.ok(typeof id === 'string' && id !== 'a' && typeof time === 'string')
    }
  })

  it('that are sent as plain JSON are answered as plain JSON', async () => {
    const { body } = await predict('half_plus_two', { ...attributes, data: { instances: [1] } })
    assert.deepEqual(body, { predictions: [2.5] })
  })

  for (const [what, event, message] of [
    ['without an id', { ...attributes, id: undefined, data: { instances: [1] } }, /CloudEvent: "id" is missing/],
    ['of another version', { ...attributes, specversion: '2.0', data: { instances: [1] } }, /specversion "2.0" is not known; expected 1.0/],
    ['without data', attributes, /it has no "data"/],
    ['with data twice', { ...attributes, data: { instances: [1] }, data_base64: 'e30=' }, /data_base64: there is data already/],
    ['with bytes that are none', { ...attributes, data_base64: '!' }, /data_base64: expected bytes in base64/],
    ['with data that are no body', { ...attributes, data: [1] }, /data: expected an object with "instances"/],
  ] as const)
    it(`${what} are refused`, async () => {
      const { status, body } = await predict('half_plus_two', event, { 'content-type': 'application/cloudevents+json' })
      assert.equal(status, 400, JSON.stringify(body))
      assert.match(String(body['error']), message)
    })

  it('in binary mode without an attribute, or with data of another type, are refused', async () => {
    const { 'ce-type': _, ...without } = headers
    assert.match(String((await predict('half_plus_two', { instances: [1] }, without)).body['error']), /"type" is missing/)
    const wrong = await predict('half_plus_two', { instances: [1] }, { ...headers, 'ce-specversion': '0.1' })
    assert.equal(wrong.status, 400)
    const xml = await predict('half_plus_two', { ...attributes, datacontenttype: 'text/xml', data: { instances: [1] } })
    assert.equal(xml.status, 415)
  })
})

it('a model of kserve-v1 that cannot answer is not ready, and its requests are told to come back', async () => {
  await using models = await servedModels()
  await models.write('broken/1/model.onnx', 'no model')
  await using other = await startServer({ models: [{ path: models.path }], port: 0, dialects: 'kserve-v1' })
  const broken = await fetch(`${other.url}/v1/models/broken`)
  assert.deepEqual([broken.status, Object.keys((await broken.json()) as object)], [503, ['error']])
  assert.equal((await post(`${other.url}/v1/models/broken:predict`, { instances: [1] })).status, 503)
})

it('kserve-v1 and tfserving share routes: on one port they are refused, on two each answers', async () => {
  await using models = await servedModels()
  const options = { models: [{ path: models.path }], port: 0 }
  await assert.rejects(startServer({ ...options, dialects: 'kserve-v1,tfserving' }), /kserve-v1 and tfserving both have GET \/v1\/models/)
  const port = await freePort()
  await using both = await startServer({ ...options, dialects: `kserve-v1,tfserving@${port}` })
  const body = { instances: [[1], [2]] }
  assert.deepEqual((await post(`${both.url}/v1/models/half_plus_two:predict`, body)).body, { predictions: [2.5, 3] })
  assert.deepEqual((await post(`http://127.0.0.1:${port}/v1/models/half_plus_two:predict`, body)).body, { predictions: [[2.5], [3]] })
})
