import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { post, serveExamples } from '../fixtures.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

const ROW = [2, 95.5, 6, 1, 0, 0, 1, 0, 0, 1]

function request(rows: number, extra: object = {}): object {
  return {
    inputs: [{ name: 'customers', datatype: 'FP32', shape: [rows, 10], data: Array.from({ length: rows }, () => ROW).flat() }],
    ...extra,
  }
}

interface Output {
  readonly name: string
  readonly shape: number[]
  readonly data: number[]
}

describe('the Open Inference Protocol', () => {
  let server: SlipwayServer
  let infer: string
  before(async () => {
    server = await serveExamples(['churn'], { serving: { instances: 1, maxBatchSize: 8 } })
    infer = `${server.url}/v2/models/churn/infer`
  })
  after(() => server.close())

  it('echoes the id, honours requested outputs and gives a row for a row', async () => {
    const { status, body } = await post(infer, request(3, { id: 'abc', outputs: [{ name: 'probabilities' }] }))
    assert.equal(status, 200)
    assert.equal(body['id'], 'abc')
    assert.equal(body['model_name'], 'churn')
    const outputs = body['outputs'] as Output[]
    assert.deepEqual(
      outputs.map((output) => [output.name, output.shape]),
      [['probabilities', [3, 2]]],
    )
  })

  it('splits a request larger than a batch and joins its answer', async () => {
    const one = await post(infer, request(1))
    const many = await post(infer, request(30))
    const [, single] = one.body['outputs'] as Output[]
    const [, joined] = many.body['outputs'] as Output[]
    assert.deepEqual(joined?.shape, [30, 2])
    assert.deepEqual(joined?.data.slice(58), single?.data)
  })

  it('answers zero rows with zero rows', async () => {
    const { status, body } = await post(infer, { inputs: [{ name: 'customers', datatype: 'FP32', shape: [0, 10], data: [] }] })
    assert.equal(status, 200)
    assert.deepEqual(
      (body['outputs'] as Output[]).map((output) => output.shape),
      [[0], [0, 2]],
    )
  })

  it('takes nested data, and data that comes before its shape', async () => {
    const { status } = await post(
      infer,
      `{"inputs":[{"data":[${JSON.stringify(ROW)}],"name":"customers","shape":[1,10],"datatype":"FP32"}]}`,
    )
    assert.equal(status, 200)
  })

  const wrong: readonly (readonly [name: string, body: string, status: number, says: RegExp])[] = [
    ['no inputs', '{}', 400, /no "inputs"/],
    ['not JSON', 'hello', 400, /expected "\{"/],
    [
      'an unknown input',
      '{"inputs":[{"name":"y","datatype":"FP32","shape":[1,10],"data":[1,2,3,4,5,6,7,8,9,10]}]}',
      400,
      /no such input; it has customers/,
    ],
    [
      'a wrong datatype',
      '{"inputs":[{"name":"customers","datatype":"INT64","shape":[1,10],"data":[1,2,3,4,5,6,7,8,9,10]}]}',
      400,
      /is INT64, expected FP32/,
    ],
    [
      'a wrong shape',
      '{"inputs":[{"name":"customers","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}',
      400,
      /has shape \[1, 3\], expected \[-1, 10\]/,
    ],
    ['too few values', '{"inputs":[{"name":"customers","datatype":"FP32","shape":[1,10],"data":[1,2,3]}]}', 400, /inputs\[0\]\.data/],
    [
      'a shape larger than the body',
      '{"inputs":[{"name":"customers","datatype":"FP32","shape":[100000,10],"data":[1]}]}',
      400,
      /more than the body can hold/,
    ],
    [
      'an absurd shape',
      '{"inputs":[{"name":"customers","datatype":"FP32","shape":[99999999,99999999],"data":[1]}]}',
      400,
      /limits\.elements/,
    ],
    [
      'an unknown output',
      JSON.stringify(request(1, { outputs: [{ name: 'nope' }] })),
      400,
      /no output "nope"; it has label, probabilities/,
    ],
    ['an output twice', JSON.stringify(request(1, { outputs: [{ name: 'label' }, { name: 'label' }] })), 400, /asked for twice/],
    ['deep nesting', `{"inputs":${'['.repeat(5000)}`, 400, /./],
    [
      'a text where a number belongs',
      '{"inputs":[{"name":"customers","datatype":"FP32","shape":[1,10],"data":["a",1,2,3,4,5,6,7,8,9]}]}',
      400,
      /inputs\[0\]\.data: expected a number/,
    ],
  ]
  for (const [name, body, status, says] of wrong) {
    it(`${name} gets a ${status} that says so`, async () => {
      const answer = await post(infer, body)
      assert.equal(answer.status, status)
      assert.deepEqual(Object.keys(answer.body), ['error'])
      assert.match(String(answer.body['error']), says)
    })
  }

  it('out-of-range values are refused for raw tensors too', async () => {
    const values = [9999, ...ROW.slice(1)]
    const { status, body } = await post(infer, { inputs: [{ name: 'customers', datatype: 'FP32', shape: [1, 10], data: values }] })
    assert.equal(status, 400)
    assert.match(String(body['error']), /tenure_months/)
  })

  it('an unknown model is a 404 with the nearest name, and makes no series', async () => {
    const { status, body } = await post(`${server.url}/v2/models/chrun/infer`, request(1))
    assert.equal(status, 404)
    assert.match(String(body['error']), /did you mean "churn"/)
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    assert.ok(!metrics.includes('chrun'))
    assert.match(metrics, /slipway_rejected_total\{endpoint="",variant="",model="",version="",reason="model_not_found"\} \d/)
  })

  it('a wrong method says which it takes', async () => {
    const response = await fetch(infer)
    assert.equal(response.status, 405)
    assert.equal(response.headers.get('allow'), 'POST')
  })

  it('describes server, model and repository', async () => {
    const get = async (path: string): Promise<Record<string, unknown>> =>
      (await (await fetch(server.url + path)).json()) as Record<string, unknown>
    assert.equal((await get('/v2'))['name'], 'slipway')
    const model = await get('/v2/models/churn')
    assert.deepEqual(model['versions'], ['1'])
    assert.deepEqual(model['inputs'], [{ name: 'customers', datatype: 'FP32', shape: [-1, 10] }])
    assert.equal((await get('/v2/models/churn/versions/1/ready'))['ready'], true)
    const index = await post(`${server.url}/v2/repository/index`, '{"ready":true}')
    assert.deepEqual(
      (index.body as unknown as { name: string; state: string }[]).map((entry) => [entry.name, entry.state]),
      [['churn', 'READY']],
    )
  })

  it('keeps a request id of the client, and makes one for a bad one', async () => {
    assert.equal((await post(infer, request(1), { 'x-request-id': 'mine-1' })).headers.get('x-request-id'), 'mine-1')
    assert.notEqual(
      (await post(infer, request(1), { 'x-request-id': 'with spaces are bad' })).headers.get('x-request-id'),
      'with spaces are bad',
    )
  })
})
