import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { ask } from '../asking.ts'
import { CUSTOMER, post, serveExamples } from '../fixtures.ts'
import { linearModel } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(await temporaryFolder())
/** y = x W + b, with W = [1, 10] and b = 0.5. */
const path = await folder.write('linear.onnx', linearModel())

it('where several models are served and none is the default, a route of one model says what to do', async () => {
  for (const [dialect, route] of [
    ['vertex', '/predict'],
    ['azureml', '/score'],
    ['mlflow', '/invocations'],
    ['sagemaker', '/invocations'],
  ] as const) {
    await using server = await startServer({ models: ['a', 'b'].map((name) => ({ path, name })), port: 0, dialects: dialect })
    const { status, body } = await post(server.url + route, { instances: [[1, 2]] })
    assert.equal(status, 400, dialect)
    assert.match(JSON.stringify(body), /2 models are served \(a, b\), and this route is of one: start the server with --default-model NAME/)
  }
})

describe('a container of Vertex AI', () => {
  it('answers instances with predictions, at the routes that it was told', async () => {
    const vertex = { healthRoute: '/v1/endpoints/7/deployedModels/8', predictRoute: '/v1/endpoints/7/deployedModels/8:predict' }
    await using server = await startServer({ models: [{ path }], port: 0, dialects: 'vertex', vertex })
    assert.equal((await ask(server.url + vertex.healthRoute)).status, 200)
    const url = server.url + vertex.predictRoute
    const { status, body } = await post(url, {
      instances: [
        [1, 2],
        [3, 4],
      ],
    })
    assert.equal(status, 200)
    assert.deepEqual(body, { predictions: [21.5, 43.5] })
    assert.equal((await post(url, { instances: [{ x: [1, 2] }], parameters: {} })).status, 200)
    for (const [wrong, message] of [
      [{ instances: [[1, 2]], parameters: { confidence: 1 } }, /parameters\.confidence: the model takes no parameters/],
      [{ instances: [[1, 2]], model: 'x' }, /model: unknown key/],
      [{ rows: [] }, /unknown key/],
      [{ instances: [['a', 2]] }, /instances\[0\]/],
    ] as const) {
      const told = await post(url, wrong)
      assert.equal(told.status, 400)
      assert.match(String(told.body['error']), message)
    }
    assert.equal((await ask(`${server.url}/v1/endpoints/7/deployedModels/9:predict`, { body: '{}' })).status, 404)
  })

  it('is not healthy while nothing can be asked', async () => {
    await using server = await startServer({ port: 0, dialects: 'vertex' })
    assert.equal((await ask(`${server.url}/health`)).status, 503)
  })

  it('says when to ask again where it has too much to do', async () => {
    await using server = await serveExamples(['churn'], {
      dialects: 'vertex',
      serving: { queueRequests: 1, instances: 1, inlineMaxUs: 0, maxBatchSize: 1 },
    })
    const instances = Array.from({ length: 64 }, () => CUSTOMER)
    const answers = await Promise.all(Array.from({ length: 40 }, () => post(`${server.url}/predict`, { instances })))
    const refused = answers.filter(({ status }) => status !== 200)
    assert.ok(refused.length > 0)
    for (const { status, headers, body } of refused) {
      assert.equal(status, 503)
      assert.ok(Number(headers.get('retry-after')) >= 1)
      assert.deepEqual(Object.keys(body), ['error'])
    }
  })
})

describe('a container of Azure Machine Learning', () => {
  it('scores tables, lists, columns and rows of people', async () => {
    await using server = await startServer({ models: [{ path }], port: 0, dialects: 'azureml' })
    const health = await ask(server.url)
    assert.deepEqual([health.status, health.text], [200, 'Healthy'])
    for (const body of [
      {
        input_data: {
          columns: ['a', 'b'],
          index: [0, 1],
          data: [
            [1, 2],
            [3, 4],
          ],
        },
      },
      {
        input_data: [
          [1, 2],
          [3, 4],
        ],
      },
      {
        input_data: [
          { a: 1, b: 2 },
          { a: 3, b: 4 },
        ],
      },
      {
        input_data: {
          x: [
            [1, 2],
            [3, 4],
          ],
        },
      },
      {
        data: [
          [1, 2],
          [3, 4],
        ],
      },
      {
        input_data: [
          [1, 2],
          [3, 4],
        ],
        params: {},
      },
    ]) {
      const { status, body: answer } = await post(`${server.url}/score`, body)
      assert.deepEqual([status, answer], [200, [21.5, 43.5]], JSON.stringify(body))
    }
    assert.deepEqual((await post(`${server.url}/score`, { inputs: [[1, 2]] })).body, { predictions: [{ prediction: 21.5 }] })
    for (const [wrong, message] of [
      [{ input_data: 5 }, /input_data: expected a table/],
      [{ input_data: [[1, 2]], params: { a: 1 } }, /params\.a: the model takes no parameters/],
      [{ input_data: { columns: ['a'], data: [[1, 2]] } }, /input_data\.data\[0\]|data\[0\]/],
      [{ data: [[1, 2]], method: 'predict' }, /method: unknown key beside "data"/],
    ] as const) {
      const told = await post(`${server.url}/score`, wrong)
      assert.equal(told.status, 400)
      assert.match((told.body as { error: { message: string } }).error.message, message)
    }
  })

  it('takes features by name, and gives the ids of a request back', async () => {
    await using server = await serveExamples(['churn'], { dialects: 'azureml' })
    const split = { columns: Object.keys(CUSTOMER), data: [Object.values(CUSTOMER)] }
    const { body, headers } = await post(
      `${server.url}/score`,
      { input_data: split },
      { 'x-ms-client-request-id': 'abc', 'x-ms-request-id': 'def' },
    )
    assert.deepEqual(body, ['churn'])
    assert.deepEqual([headers.get('x-ms-client-request-id'), headers.get('x-ms-request-id')], ['abc', 'def'])
    const people = await post(`${server.url}/score`, CUSTOMER)
    assert.equal(people.body['prediction'], 'churn')
  })

  it('is unwell while nothing can be asked', async () => {
    await using server = await startServer({ port: 0, dialects: 'azureml' })
    assert.equal((await ask(server.url)).status, 503)
  })
})
