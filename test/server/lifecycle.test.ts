import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { Agent, request as httpRequest } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { CUSTOMER, example, post, ROOT, serveExamples, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

interface Process {
  readonly child: ReturnType<typeof spawn>
  said(): string
  readonly exit: Promise<number | null>
}

function slipway(args: readonly string[], environment: Record<string, string> = {}): Process {
  const child = spawn(join(ROOT, 'bin/slipway'), args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  return { child, said: () => said, exit: new Promise((resolve) => child.once('exit', (code) => resolve(code))) }
}

async function started(server: Process): Promise<string> {
  await until(() => server.said().includes('/predict'), `the server starts; it said: ${server.said()}`)
  return /http:\/\/127\.0\.0\.1:\d+/.exec(server.said())?.[0] ?? ''
}

describe('stopping', () => {
  it('SIGTERM turns readiness off at once, keeps liveness, answers meanwhile, finishes what is in flight, and ends with 0', async () => {
    const server = slipway(['serve', example('churn'), '--port', '0', '--drain-pause', '700ms', '--grace', '10s'])
    const url = await started(server)
    const agent = new Agent({ keepAlive: true })
    const ask = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const request = httpRequest(
          `${url}/predict`,
          { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
          (response) => response.resume().on('end', () => resolve(response.statusCode ?? 0)),
        )
        request.on('error', reject)
        request.end(JSON.stringify(CUSTOMER))
      })
    assert.equal(await ask(), 200)
    server.child.kill('SIGTERM')
    await until(async () => (await fetch(`${url}/ready`)).status === 503, 'readiness is off')
    assert.equal((await fetch(`${url}/v2/health/live`)).status, 200)
    // Open keep-alive connections are answered to the last, and told to close.
    const statuses = await Promise.all(Array.from({ length: 20 }, ask))
    assert.deepEqual(new Set(statuses), new Set([200]))
    assert.equal(await server.exit, 0)
    agent.destroy()
  })

  it('a keep-alive request that was in flight does not hold the end up', async () => {
    const server = await serveExamples(['digits'], {
      serving: { instances: 1, inlineMaxUs: 0, maxBatchSize: 1 },
      shutdown: { pauseMs: 0, graceMs: 20_000 },
    })
    const rows = 2000
    const body = JSON.stringify({
      inputs: [{ name: 'pixels', datatype: 'FP32', shape: [rows, 64], data: Array.from({ length: rows * 64 }, () => 1) }],
    })
    const agent = new Agent({ keepAlive: true })
    const answer = new Promise<string | undefined>((resolve, reject) => {
      const request = httpRequest(`${server.url}/v2/models/digits/infer`, { method: 'POST', agent }, (response) =>
        response.resume().on('end', () => resolve(response.headers.connection)),
      )
      request.on('error', reject)
      request.end(body)
    })
    const { scheduler } = server.dataPlane.endpoint('digits').requireMain().requireReady()
    await until(() => scheduler.inFlight > 0, 'the request runs')
    assert.equal(await server.drain(), true)
    assert.equal(await answer, 'close')
    agent.destroy()
    await server.close()
  })

  it('a second signal ends it now', async () => {
    const server = slipway(['serve', example('churn'), '--port', '0', '--drain-pause', '20s'])
    await started(server)
    server.child.kill('SIGTERM')
    await until(() => server.said().includes('again to end now'), 'the first signal is heard')
    server.child.kill('SIGTERM')
    assert.equal(await server.exit, 130)
  })
})

describe('starting', () => {
  it('a broken model among good ones does not keep the others from being served, unless readiness is strict', async () => {
    await using folder = await temporaryFolder()
    await cp(example('churn'), join(folder.path, 'churn'), { recursive: true })
    await mkdir(join(folder.path, 'broken'))
    await writeFile(join(folder.path, 'broken', 'model.onnx'), 'not a model')
    await using server = await startServer({ models: [{ path: folder.path }], port: 0, serving: { instances: 1 } })
    assert.equal((await post(`${server.url}/models/churn/predict`, CUSTOMER)).status, 200)
    assert.equal((await fetch(`${server.url}/ready`)).status, 200)
    const health = (await (await fetch(`${server.url}/health`)).json()) as {
      status: string
      models: { name: string; loaded: boolean; reason?: string }[]
    }
    assert.equal(health.status, 'degraded')
    assert.match(health.models.find((model) => model.name === 'broken')?.reason ?? '', /not an ONNX model/)
    assert.equal((await post(`${server.url}/v2/models/broken/infer`, { inputs: [] })).status, 503)
    await using strict = await startServer({ models: [{ path: folder.path }], port: 0, strictReadiness: true, serving: { instances: 1 } })
    assert.equal((await fetch(`${strict.url}/ready`)).status, 503)
  })

  it('a golden example that does not hold keeps the model from being served, and shows both values', async () => {
    await using folder = await temporaryFolder()
    await cp(join(example('churn'), 'model.onnx'), join(folder.path, 'model.onnx'))
    await writeFile(
      join(folder.path, 'slipway.yaml'),
      'golden:\n  - name: first\n    input: [0,0,0,0,0,0,0,0,0,0]\n    expect: { confidence: 2 }\n',
    )
    await assert.rejects(
      startServer({ models: [{ path: folder.path, name: 'x' }], port: 0 }),
      (error) =>
        isSlipwayError(error) && error.code === 'SLW_GOLDEN_FAILED' && /"first": confidence is 0\.\d+, expected 2/.test(error.message),
    )
  })

  it('numbered versions: the highest answers, all answer by name', async () => {
    await using folder = await temporaryFolder()
    for (const version of ['1', '2', '10']) await cp(example('churn'), join(folder.path, 'm', version), { recursive: true })
    await using server = await startServer({
      models: [{ path: join(folder.path, 'm') }],
      versions: 'all',
      port: 0,
      serving: { instances: 1 },
    })
    assert.equal((await post(`${server.url}/predict`, CUSTOMER)).headers.get('slipway-version'), '10')
    assert.equal((await post(`${server.url}/models/m/versions/2/predict`, CUSTOMER)).headers.get('slipway-version'), '2')
    assert.equal((await post(`${server.url}/models/m/versions/3/predict`, CUSTOMER)).status, 404)
  })

  it('a port that is taken is told with who holds it', async () => {
    const holder = createServer()
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', () => resolve()))
    const { port } = holder.address() as { port: number }
    await assert.rejects(
      serveExamples(['churn'], { port }),
      (error) =>
        isSlipwayError(error) &&
        error.code === 'SLW_PORT_IN_USE' &&
        (process.platform !== 'linux' || error.message.includes(`process ${process.pid}`)),
    )
    holder.close()
  })

  it('another host than loopback is refused without --insecure', async () => {
    await assert.rejects(
      serveExamples(['churn'], { host: '0.0.0.0' }),
      (error) => isSlipwayError(error) && error.code === 'SLW_HOST_REFUSED',
    )
  })

  it('two models of one name are an error that names both', async () => {
    await assert.rejects(
      startServer({ models: [{ path: example('churn') }, { path: join(example('churn'), 'model.onnx'), name: 'churn' }], port: 0 }),
      /two models are named "churn"/,
    )
  })

  it('exit codes tell a bad model (10), a bad configuration (2) and a missing file (4) apart', async () => {
    await using folder = await temporaryFolder()
    await writeFile(join(folder.path, 'bad.onnx'), 'not a model')
    const config = join(folder.path, 'server.yaml')
    await writeFile(config, 'prot: 80\n')
    const cases: readonly (readonly [args: readonly string[], code: number, says: RegExp])[] = [
      [[join(folder.path, 'bad.onnx')], 10, /not an ONNX model, it looks like text|not an ONNX model/],
      [[example('churn'), '--port', 'many'], 2, /flag --port: "many" is not a number/],
      [[example('churn'), '--config', config], 2, /server\.yaml:1:1: prot: unknown key; did you mean "port"\?/],
      [[example('churn'), '--device', 'cuda'], 2, /CPU only/],
      [[example('churn'), '--host', '0.0.0.0', '--dry-run'], 2, /no API keys.*no TLS.*Three ways out/s],
      [[join(folder.path, 'nowhere')], 4, /no such file or folder/],
    ]
    for (const [args, code, says] of cases) {
      const server = slipway(['serve', ...args])
      assert.equal(await server.exit, code, server.said())
      assert.match(server.said(), says)
    }
  })

  it('MODEL_PATH, PORT and HOST of container images are understood, and a variable misspelt is told', async () => {
    const server = slipway(['serve'], {
      MODEL_PATH: example('churn'),
      PORT: '0',
      HOST: '127.0.0.1',
      SLIPWAY_SERVING_INSTANCE: '1',
      SLIPWAY_SHUTDOWN_PAUSE_MS: '0',
    })
    const url = await started(server)
    assert.match(server.said(), /unknown environment variable SLIPWAY_SERVING_INSTANCE; did you mean SLIPWAY_SERVING_INSTANCES\?/)
    assert.equal((await fetch(`${url}/ready`)).status, 200)
    server.child.kill('SIGTERM')
    assert.equal(await server.exit, 0)
  })
})

describe('a client that goes away', () => {
  it('leaves the queue: its work is not run', async () => {
    await using server = await serveExamples(['digits'], { serving: { instances: 1, inlineMaxUs: 0, maxBatchSize: 1 } })
    const rows = 300
    const body = JSON.stringify({
      inputs: [{ name: 'pixels', datatype: 'FP32', shape: [rows, 64], data: Array.from({ length: rows * 64 }, () => 1) }],
    })
    const callers = Array.from({ length: 20 }, () => new AbortController())
    const calls = callers.map(({ signal }) =>
      fetch(`${server.url}/v2/models/digits/infer`, { method: 'POST', body, signal })
        .then((response) => response.arrayBuffer())
        .catch(() => 'gone'),
    )
    const scheduler = server.dataPlane.endpoint('digits').requireMain().requireReady().scheduler
    await until(() => scheduler.inFlight >= callers.length, 'the requests wait')
    for (const caller of callers) caller.abort()
    await Promise.all(calls)
    await until(() => scheduler.inFlight === 0 && scheduler.queued === 0, 'nothing waits any more')
    const runs = /slipway_batch_rows_count\{[^}]*\} (\d+)/.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]
    assert.ok(Number(runs ?? 0) < 20 * rows, `${runs} runs`)
  })
})

describe('overload', () => {
  it('a full queue is refused with 503 and Retry-After, and what was accepted is answered', async () => {
    await using server = await serveExamples(['digits'], { serving: { instances: 1, queueRequests: 2, inlineMaxUs: 0, maxBatchSize: 1 } })
    const rows = 64
    const body = { inputs: [{ name: 'pixels', datatype: 'FP32', shape: [rows, 64], data: Array.from({ length: rows * 64 }, () => 1) }] }
    const answers = await Promise.all(Array.from({ length: 40 }, () => post(`${server.url}/v2/models/digits/infer`, body)))
    const statuses = new Set(answers.map((answer) => answer.status))
    assert.deepEqual(statuses, new Set([200, 503]))
    for (const answer of answers.filter(({ status }) => status === 503)) {
      assert.match(String(answer.body['error']), /queue of "digits\/v1" is full/)
      assert.ok(Number(answer.headers.get('retry-after')) >= 1)
    }
    assert.match(await (await fetch(`${server.url}/metrics`)).text(), /slipway_rejected_total\{[^}]*reason="queue_full"\} \d+/)
  })
})
