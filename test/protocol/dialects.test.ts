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

  it('are found from the port of another: an unknown path names the port, or the option with every port in it', async () => {
    const [apart, management] = [await freePort(), await freePort()]
    const dialects = `v2,predict,torchserve@${apart},torchserve-management@${management}`
    await using server = await serveExamples(['churn'], { dialects })
    const told = async (method: string, url: string): Promise<unknown> => await (await fetch(url, { method })).json()
    assert.match(
      JSON.stringify(await told('POST', `${server.url}/predictions/churn`)),
      new RegExp(`that route is of TorchServe, which this server speaks on port ${apart}`),
    )
    assert.match(
      JSON.stringify(await told('POST', `http://127.0.0.1:${apart}/predict`)),
      /that route is of predict, which this server speaks on its first port/,
    )
    assert.match(JSON.stringify(await told('DELETE', `http://127.0.0.1:${management}/models/churn`)), /administration is off/)
    assert.match(
      JSON.stringify(await told('POST', `${server.url}/invocations`)),
      new RegExp(`of MLflow \\(--dialects ${dialects},mlflow\\), or of SageMaker \\(--dialects ${dialects},sagemaker\\)`),
    )
    assert.match(
      JSON.stringify(await told('POST', `http://127.0.0.1:${apart}/score`)),
      /of Azure Machine Learning \(--dialects [^)]*,azureml\)/,
    )
  })

  it('have errors of their own form at each path of a port of their own, and at each method of a path', async () => {
    const [torch, mlflow, azure] = [await freePort(), await freePort(), await freePort()]
    await using server = await serveExamples(['churn'], {
      dialects: `v2,predict,torchserve@${torch},mlflow@${mlflow},azureml@${azure}`,
    })
    for (const [port, method, path, status, body] of [
      [torch, 'GET', '/nothing', 404, { code: 404, type: 'ResourceNotFoundException' }],
      [torch, 'DELETE', '/ping', 405, { code: 405, type: 'MethodNotAllowedException' }],
      [mlflow, 'GET', '/invocations', 405, { error_code: 'BAD_REQUEST' }],
      [mlflow, 'GET', '/nothing', 404, { error_code: 'RESOURCE_DOES_NOT_EXIST' }],
      [azure, 'PUT', '/score', 405, { error: { code: 'SLW_METHOD_NOT_ALLOWED' } }],
    ] as const) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method })
      assert.equal(answer.status, status, path)
      assert.partialDeepStrictEqual(await answer.json(), body, path)
    }
    const own = (await (await fetch(`${server.url}/nothing`)).json()) as { code?: string }
    assert.equal(own.code, 'SLW_ROUTE_NOT_FOUND', 'where several share a port, errors are ours')
  })

  it('that share a route share no port', async () => {
    for (const [dialects, path] of [
      ['kserve-v1,tfserving', 'GET /v1/models/{name}'],
      ['mlflow,sagemaker', 'GET /ping'],
      ['predict,vertex', 'POST /predict'],
    ])
      await assert.rejects(serveExamples(['churn'], { dialects: dialects! }), {
        message: `dialects: ${dialects!.replace(',', ' and ')} both have ${path}; give one a port of its own, as in ${dialects!.split(',')[1]}@9000`,
      })
  })

  it('take the paths of Vertex AI with a slash at their end, and none that mean more than they say', async () => {
    const vertex = { healthRoute: '/health/', predictRoute: '/v1/endpoints/1:predict/' }
    await using server = await serveExamples(['churn'], { dialects: 'vertex', vertex })
    assert.deepEqual(await (await fetch(`${server.url}/health/`)).json(), {})
    for (const end of ['', '/']) {
      const answered = await post(`${server.url}/v1/endpoints/1:predict${end}`, { instances: [CUSTOMER] })
      assert.deepEqual(answered.body, { predictions: ['churn'] })
    }
    for (const predictRoute of ['/a*', '/a(b)', '//', 'a', '/a?b=1', '/ä'])
      await assert.rejects(
        serveExamples(['churn'], { dialects: 'vertex', vertex: { predictRoute } }),
        { code: 'SLW_CONFIG_INVALID' },
        predictRoute,
      )
  })

  it('all keep to the limits of rows and of nesting, forms too', async () => {
    const names = ['tfserving', 'torchserve', 'mlflow', 'sagemaker', 'sagemaker-multi-model', 'vertex', 'azureml'] as const
    const ports = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await freePort()] as const)))
    await using server = await serveExamples(['churn'], {
      dialects: `v2,predict,kserve-v1,${names.map((name) => `${name}@${ports[name]}`).join(',')}`,
      limits: { rows: 3, jsonNesting: 5 },
    })
    const at = (name: (typeof names)[number], path: string): string => `http://127.0.0.1:${ports[name]}${path}`
    const row = Object.values(CUSTOMER)
    const form = (text: string): FormData => {
      const data = new FormData()
      data.set('inputs', text)
      return data
    }
    const json = (text: string): string => text
    for (const [url, bodyOf] of [
      [`${server.url}/predict`, json],
      [`${server.url}/predict`, form],
      [`${server.url}/v1/models/churn:predict`, (text: string) => `{"instances":${text}}`],
      [at('tfserving', '/v1/models/churn:predict'), (text: string) => `{"instances":${text}}`],
      [at('torchserve', '/predictions/churn'), json],
      [at('mlflow', '/invocations'), (text: string) => `{"inputs":${text}}`],
      [at('sagemaker', '/invocations'), json],
      [at('sagemaker-multi-model', '/models/churn/invoke'), json],
      [at('vertex', '/predict'), (text: string) => `{"instances":${text}}`],
      [at('azureml', '/score'), (text: string) => `{"data":${text}}`],
    ] as const) {
      const send = async (text: string): Promise<[status: number, text: string]> => {
        const body = bodyOf(text)
        const response = await fetch(url, {
          method: 'POST',
          body,
          ...(typeof body === 'string' && { headers: { 'content-type': 'application/json' } }),
        })
        return [response.status, await response.text()]
      }
      assert.equal((await send(JSON.stringify([row, row, row])))[0], 200, url)
      for (const [text, said] of [
        [JSON.stringify([row, row, row, row]), /limits\.rows/],
        [`${'['.repeat(30)}${']'.repeat(30)}`, /nested deeper than 5 levels/],
      ] as const) {
        const [status, told] = await send(text)
        assert.equal(status, 400, url)
        assert.match(told, said, url)
      }
    }
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
