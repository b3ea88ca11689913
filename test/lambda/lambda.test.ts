import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { traceparentOf } from '../../src/server/lambda/serve-invocations.ts'
import { requestOfEvent } from '../../src/server/lambda/events.ts'
import { CUSTOMER, example, ROOT, until } from '../fixtures.ts'
import { linearModel } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { lambdaEmulator } from './emulator.ts'
import type { ChildProcess } from 'node:child_process'
import type { Answered, Emulator } from './emulator.ts'

interface Function extends AsyncDisposable {
  readonly child: ChildProcess
  readonly lambda: Emulator
  said(): string
}

async function startFunction(args: readonly string[], environment: Record<string, string> = {}): Promise<Function> {
  const lambda = await lambdaEmulator()
  const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), 'lambda', ...args], {
    env: { ...process.env, AWS_LAMBDA_RUNTIME_API: lambda.address, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
  return {
    child,
    lambda,
    said: () => said,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await lambda[Symbol.asyncDispose]()
    },
  }
}

const BODY = JSON.stringify({ inputs: [CUSTOMER] })

const ofHttpApi = (path: string, more: object = {}): object => ({
  version: '2.0',
  routeKey: '$default',
  rawPath: path,
  rawQueryString: '',
  headers: { 'content-type': 'application/json', host: 'id.execute-api.eu-central-1.amazonaws.com', 'x-forwarded-proto': 'https' },
  requestContext: {
    accountId: '123456789012',
    apiId: 'id',
    stage: '$default',
    http: { method: 'POST', path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1' },
  },
  body: BODY,
  isBase64Encoded: false,
  ...more,
})

const ofRestApi = (path: string, more: object = {}): object => ({
  resource: '/{proxy+}',
  path,
  httpMethod: 'POST',
  headers: { 'Content-Type': 'application/json', Host: 'id.execute-api.eu-central-1.amazonaws.com' },
  multiValueHeaders: { 'Content-Type': ['application/json'], Host: ['id.execute-api.eu-central-1.amazonaws.com'] },
  queryStringParameters: null,
  multiValueQueryStringParameters: null,
  requestContext: { resourcePath: '/{proxy+}', httpMethod: 'POST', stage: 'prod', path: `/prod${path}` },
  body: BODY,
  isBase64Encoded: false,
  ...more,
})

const ofBalancer = (path: string, more: object = {}): object => ({
  requestContext: { elb: { targetGroupArn: 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/t/1' } },
  httpMethod: 'POST',
  path,
  queryStringParameters: {},
  headers: { 'content-type': 'application/json', host: 'lb.example' },
  body: BODY,
  isBase64Encoded: false,
  ...more,
})

function json({ kind, body }: Answered): Record<string, unknown> & { statusCode: number; body: string; headers: Record<string, string> } {
  assert.equal(kind, 'response', body.toString())
  return JSON.parse(body.toString()) as ReturnType<typeof json>
}

const predictionIn = (body: string): unknown => (JSON.parse(body) as { predictions: { prediction: unknown }[] }).predictions[0]?.prediction

describe('a function of AWS Lambda', () => {
  let running: Function
  before(async () => {
    running = await startFunction([example('churn'), '--dialects', 'predict,v2,sagemaker'])
  })
  after(() => running[Symbol.asyncDispose]())

  it('answers HTTP APIs and function URLs, with cookies and queries', async () => {
    const answer = json(
      await running.lambda.invoke(ofHttpApi('/models/churn/predict', { rawQueryString: 'a=1&b=%20', cookies: ['a=b', 'c=d'] })),
    )
    assert.equal(answer.statusCode, 200)
    assert.equal(predictionIn(answer.body), 'churn')
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.equal(answer['isBase64Encoded'], false)
    assert.equal(answer.headers['content-length'], undefined)
    assert.equal(answer.headers['slipway-model'], 'churn')
    const staged = ofHttpApi('/prod/predict', { requestContext: { stage: 'prod', http: { method: 'POST', path: '/prod/predict' } } })
    assert.equal(json(await running.lambda.invoke(staged)).statusCode, 200)
  })

  it('answers REST APIs, bodies in Base64 too', async () => {
    const base64 = { body: Buffer.from(BODY).toString('base64'), isBase64Encoded: true }
    const answer = json(await running.lambda.invoke(ofRestApi('/predict', base64)))
    assert.equal(answer.statusCode, 200)
    assert.equal(predictionIn(answer.body), 'churn')
    assert.deepEqual((answer['multiValueHeaders'] as Record<string, string[]>)['content-type'], ['application/json'])
  })

  it('answers load balancers, with single headers and with lists', async () => {
    const single = json(await running.lambda.invoke(ofBalancer('/predict')))
    assert.deepEqual([single.statusCode, single['statusDescription']], [200, '200 OK'])
    assert.equal(single.headers['content-type'], 'application/json')
    const lists = ofBalancer('/predict', {
      headers: undefined,
      multiValueHeaders: { 'content-type': ['application/json'] },
      queryStringParameters: undefined,
      multiValueQueryStringParameters: { a: ['%20'] },
    })
    const several = json(await running.lambda.invoke(lists))
    assert.equal(several.headers, undefined)
    assert.deepEqual((several['multiValueHeaders'] as Record<string, string[]>)['content-type'], ['application/json'])
  })

  it('answers a payload by itself as rows, and refuses one as an error of the function', async () => {
    const answered = await running.lambda.invoke(CUSTOMER)
    assert.equal(json(answered)['prediction'], 'churn')
    const refused = await running.lambda.invoke({ tenure_months: 'long' })
    assert.equal(refused.kind, 'error')
    const said = JSON.parse(refused.body.toString()) as { errorType: string; errorMessage: string; stackTrace: unknown[] }
    assert.equal(said.errorType, 'Slipway.SLW_INPUT_INVALID')
    assert.match(said.errorMessage, /tenure_months: expected an integer/)
    assert.deepEqual(said.stackTrace, [])
    assert.equal(refused.headers['lambda-runtime-function-error-type'], 'Slipway.SLW_INPUT_INVALID')
  })

  it('has every route of the server, and errors with their status', async () => {
    const get = (path: string): object =>
      ofHttpApi(path, { body: undefined, requestContext: { stage: '$default', http: { method: 'GET', path } } })
    assert.equal(json(await running.lambda.invoke(get('/ready'))).statusCode, 200)
    assert.match(json(await running.lambda.invoke(get('/metrics'))).body, /slipway_request_duration_seconds/)
    assert.equal(json(await running.lambda.invoke(get('/none'))).statusCode, 404)
    const csv = ofHttpApi('/invocations', {
      body: '2,95.5,6,basic,month-to-month,true',
      headers: { 'content-type': 'text/csv', accept: 'text/csv' },
    })
    assert.match(json(await running.lambda.invoke(csv)).body, /^churn,/)
    const tensor = {
      inputs: [{ name: 'customers', datatype: 'FP32', shape: [1, 10], data: [2, 95.5, 6, 1, 0, 0, 1, 0, 0, 1] }],
      outputs: [{ name: 'probabilities', parameters: { binary_data: true } }],
    }
    const binary = json(await running.lambda.invoke(ofHttpApi('/v2/models/churn/infer', { body: JSON.stringify(tensor) })))
    assert.equal(binary['isBase64Encoded'], true)
    assert.ok(Buffer.from(binary.body, 'base64').length > 8)
  })

  it('goes on after it was frozen between two calls', async () => {
    for (let round = 0; round < 2; round++) {
      running.child.kill('SIGSTOP')
      await delay(300)
      const answering = running.lambda.invoke(ofHttpApi('/predict'))
      running.child.kill('SIGCONT')
      assert.equal(json(await answering).statusCode, 200)
    }
  })

  it('refuses an event that is no JSON, and keeps to the contract in all of this', async () => {
    const refused = await running.lambda.invoke('{"a":')
    assert.equal(refused.kind, 'error')
    assert.match(refused.body.toString(), /Slipway\.SLW_BAD_REQUEST/)
    assert.equal(running.lambda.most, 1, 'one call at a time')
    assert.deepEqual(running.lambda.faults, [])
  })

  it('ends when its environment does', async () => {
    running.child.kill('SIGTERM')
    assert.deepEqual(await once(running.child, 'exit'), [0, null], running.said())
  })

  it('answers the call that it has before it ends', async () => {
    await using other = await startFunction([example('churn')])
    const answering = other.lambda.invoke({ inputs: Array.from({ length: 20_000 }, () => CUSTOMER) })
    await until(() => other.lambda.most === 1, 'the call is being answered')
    other.child.kill('SIGTERM')
    const exit = once(other.child, 'exit', { signal: AbortSignal.timeout(30_000) })
    const answered = await Promise.race([answering, exit])
    assert.ok('kind' in answered && answered.kind === 'response', other.said())
    assert.deepEqual(await exit, [0, null], other.said())
  })
})

it('answers in parts are streamed: status and headers, eight zeros, the body; several calls at a time where that is allowed', async () => {
  await using running = await startFunction([example('churn'), '--response-mode', 'stream'], { AWS_LAMBDA_MAX_CONCURRENCY: '4' })
  const all = await Promise.all(Array.from({ length: 40 }, () => running.lambda.invoke(ofHttpApi('/predict'))))
  for (const { headers, body, trailers } of all) {
    assert.equal(headers['lambda-runtime-function-response-mode'], 'streaming')
    assert.equal(headers['transfer-encoding'], 'chunked')
    assert.equal(headers['content-type'], 'application/vnd.awslambda.http-integration-response')
    const end = body.indexOf(Buffer.alloc(8))
    const prelude = JSON.parse(body.subarray(0, end).toString()) as { statusCode: number; headers: Record<string, string> }
    assert.deepEqual([prelude.statusCode, prelude.headers['content-type']], [200, 'application/json'])
    assert.equal(predictionIn(body.subarray(end + 8).toString()), 'churn')
    assert.deepEqual(Object.keys(trailers), [])
  }
  assert.ok(running.lambda.most > 1 && running.lambda.most <= 4, `${running.lambda.most} at a time`)
  const direct = await running.lambda.invoke(CUSTOMER)
  assert.equal(direct.headers['content-type'], 'application/json')
  assert.equal((JSON.parse(direct.body.toString()) as { prediction: unknown }).prediction, 'churn')
  assert.equal((await running.lambda.invoke({ a: 1 })).kind, 'error')
  assert.equal(json(await running.lambda.invoke(ofBalancer('/predict'))).statusCode, 200, 'a load balancer takes no parts')
  assert.deepEqual(running.lambda.faults, [])
})

it('a call is given up before Lambda gives it up', async () => {
  // It waits for company for so long that the deadline comes first.
  await using folder = await temporaryFolder()
  const path = await folder.write('linear.onnx', linearModel())
  await using running = await startFunction([path, '--max-delay-us', '20000000', '--batching', 'on', '--inline-max-us', '0'])
  const answer = json(await running.lambda.invoke(ofHttpApi('/predict', { body: '{"inputs":[[1,2]]}' }), { deadlineMs: Date.now() + 4000 }))
  assert.equal(answer.statusCode, 504, answer.body)
  assert.match(answer.body, /SLW_DEADLINE_EXCEEDED/)
})

it('a function that cannot start says why', async () => {
  await using running = await startFunction(['/nowhere'])
  const { body, headers } = await running.lambda.initError
  assert.match(body.toString(), /"errorType":"Slipway\.SLW_PATH_NOT_FOUND","errorMessage":"\/nowhere/)
  assert.equal(headers['lambda-runtime-function-error-type'], 'Slipway.SLW_PATH_NOT_FOUND')
  const [code] = (await once(running.child, 'exit')) as [number]
  assert.notEqual(code, 0)
})

it('a trace of X-Ray becomes one of W3C', () => {
  assert.equal(
    traceparentOf('Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1'),
    '00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01',
  )
  assert.equal(traceparentOf('Root=1-5759e988-bd862e3fe1be46a994272793'), undefined)
})

it('an event becomes the request that it was: values of REST APIs are encoded again, those of load balancers as they came', () => {
  const target = (event: object): string => requestOfEvent(Buffer.from(JSON.stringify(event))).target
  assert.equal(target(ofRestApi('/a b', { multiValueQueryStringParameters: { 'x y': ['1&2', 'ü'] } })), '/a%20b?x%20y=1%262&x%20y=%C3%BC')
  assert.equal(target(ofBalancer('/a', { queryStringParameters: { x: '1%262' } })), '/a?x=1%262')
  assert.equal(target(ofHttpApi('//evil.example/x')), '//evil.example/x')
  const { headers } = requestOfEvent(
    Buffer.from(JSON.stringify(ofHttpApi('/', { headers: { Host: 'h', 'X-A': 'b\r\nc: d', 'bad name': 'x', 'Content-Length': '1' } }))),
  )
  assert.deepEqual(headers, { 'x-forwarded-host': 'h', 'x-a': 'bc: d' })
})
