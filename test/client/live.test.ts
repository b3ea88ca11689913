/** Both clients against real servers: rows, tensors of every datatype, feedback, keys, TLS, overload. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Agent, request } from 'node:https'
import { createConnection, createServer } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { connect, connectGrpc } from '../../src/client/index.ts'
import { startServer } from '../../src/server/start-server.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { authority } from '../certificates.ts'
import { CUSTOMER, example, freePort, ROOT, serveExamples, until } from '../fixtures.ts'
import { deciders, judges } from '../following/deciding-models.ts'
import { follows } from '../following/following.ts'
import { identityModel } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { scriptedServer } from './scripted-server.ts'
import type { Client, Datatype, SlipwayClientError, Tensor } from '../../src/client/index.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { AddressInfo, Socket } from 'node:net'
import type { Plane } from '../api/in-plane.ts'
import type { FeedbackReport } from '../../src/contract/feedback.ts'

const KEY = 'a-key-of-the-tests-of-clients-1'

interface Answer {
  readonly prediction: string
  readonly confidence: number
}

interface Case {
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly values: readonly (number | string)[]
}

/** Values of every datatype, as clients hold them. */
async function tensors(): Promise<Tensor[]> {
  const { tensors: cases } = JSON.parse(await readFile(join(ROOT, 'clients/behaviour.json'), 'utf8')) as { tensors: readonly Case[] }
  const arrays: Record<string, { from(values: readonly unknown[]): unknown }> = {
    BOOL: Uint8Array,
    UINT8: Uint8Array,
    UINT16: Uint16Array,
    UINT32: Uint32Array,
    UINT64: BigUint64Array,
    INT8: Int8Array,
    INT16: Int16Array,
    INT32: Int32Array,
    INT64: BigInt64Array,
    FP16: Uint16Array,
    BF16: Uint16Array,
    FP32: Float32Array,
    FP64: Float64Array,
    BYTES: Array,
  }
  return cases.map(({ datatype, values }) => {
    const wide = datatype === 'INT64' || datatype === 'UINT64'
    const data = arrays[datatype]!.from(wide ? values.map(BigInt) : values)
    return { name: 'x', datatype, shape: [values.length], data } as Tensor
  })
}

describe('clients of a server', () => {
  const stack = new AsyncDisposableStack()
  let server: SlipwayServer
  let secured: SlipwayServer
  let follower: SlipwayServer
  let plane: Plane
  let ca = ''
  let client: Client

  before(async () => {
    const folder = stack.use(await temporaryFolder())
    const models = [{ path: example('churn') }]
    for (const { datatype } of await tensors()) {
      const name = `echo_${datatype.toLowerCase()}`
      const path = await folder.write(`${name}.onnx`, identityModel(datatype, ['n']))
      if (!models.some((model) => model.path === path)) models.push({ path })
    }
    const apiKeysFile = await folder.write('keys.yaml', `keys: [{ name: tests, key: ${KEY}, scopes: [predict] }]\n`)
    server = stack.use(await startServer({ models, port: 0, serving: { instances: 1 }, environment: {} }))
    const signer = await authority(folder.path)
    ca = signer.cert
    const tls = await signer.issue('server')
    secured = stack.use(await serveExamples(['churn'], { tls, apiKeysFile, serving: { instances: 1 }, environment: {} }))
    plane = stack.use(await planeInProcess())
    await deciders(plane, { threshold: 0.5 })
    await judges(plane, [{ model: 'judge/1' }])
    follower = stack.use(await follows(plane.url, folder.path))
    await until(async () => (await fetch(`${follower.url}/v2/models/judge/ready`)).ok, 'the follower serves')
    client = connect(server.url, { deadlineMs: 30_000 })
  })
  after(() => stack.disposeAsync())

  it('rows are answered, one and many', async () => {
    const churn = client.model<typeof CUSTOMER, Answer>('churn')
    const one = await churn.predict(CUSTOMER, { unit: 'customer 7', requestId: 'order-1' })
    assert.equal(one.answer.prediction, 'churn')
    assert.ok(one.answer.confidence > 0.5)
    assert.deepEqual([one.model, one.version, one.requestId, one.fallback, one.attempts], ['churn', '1', 'order-1', false, 1])
    const many = await churn.predictMany([CUSTOMER, { ...CUSTOMER, support_calls: 0 as never }])
    assert.equal(many.answer.length, 2)
    assert.deepEqual(many.answer[0], one.answer)
    assert.equal((await client.model('churn', { version: '1' }).predict(Object.values(CUSTOMER) as never)).fallback, false)
    assert.deepEqual((await churn.predictMany([])).answer, [])
  })

  it('tensors of every datatype come back as they went', async () => {
    const all = await tensors()
    assert.equal(new Set(all.map(({ datatype }) => datatype)).size, 14)
    for (const tensor of all) {
      const { answer, version } = await client.model(`echo_${tensor.datatype.toLowerCase()}`).infer({ inputs: [tensor], outputs: ['y'] })
      assert.deepEqual(answer, { y: { ...tensor, name: 'y' } })
      assert.equal(version, '1')
    }
    const large = Float32Array.from({ length: 90_001 }, (_, index) => index / 7)
    const { answer } = await client
      .model('echo_fp32')
      .infer({ inputs: [{ name: 'x', datatype: 'FP32', shape: [large.length], data: large }] })
    assert.deepEqual(answer['y']?.data, large)
  })

  it('what is wrong is said before it is sent where the client can tell, else by the server', async () => {
    const echo = client.model('echo_fp32')
    const wrong = (tensor: object): Promise<unknown> => echo.infer({ inputs: [{ name: 'x', datatype: 'FP32', ...tensor } as Tensor] })
    await assert.rejects(wrong({ shape: [3], data: new Float32Array(2) }), /takes a Float32Array of 3, found Float32Array of 2/)
    await assert.rejects(wrong({ shape: [2], data: new Float64Array(2) }), /takes a Float32Array of 2, found Float64Array of 2/)
    await assert.rejects(wrong({ shape: [1, 2], data: new Float32Array(2) }), { code: 'SLW_BAD_REQUEST', status: 400 })
    await assert.rejects(client.model('churn').predict({ ...CUSTOMER, plan: 'gold' }), (error: SlipwayClientError) => {
      assert.equal(error.code, 'SLW_INPUT_INVALID')
      assert.deepEqual(
        error.issues.map(({ path }) => path),
        ['inputs[0].plan'],
      )
      return true
    })
    await assert.rejects(client.model('nobody').predict({}), { code: 'SLW_MODEL_NOT_FOUND', status: 404 })
    await assert.rejects(client.model('churn').predict(CUSTOMER, { unit: 'a\nb' }), { code: 'SLW_CONFIG_INVALID', attempts: 1 })
    assert.throws(() => connect('127.0.0.1:8470'), { code: 'SLW_CONFIG_INVALID' })
    assert.throws(() => connect(server.url, { deadlineMs: 0 }), /deadlineMs: expected a number from 1/)
    const late = { deadlineMs: Number.NaN }
    for (const call of [client.feedback({ id: 'a', label: 1 }, late), client.ready(late), client.model('churn').ready(late)])
      await assert.rejects(call, { code: 'SLW_CONFIG_INVALID', message: /deadlineMs: expected a number from 1/ })
  })

  it('a call is cancelled by its signal, before it is sent and while it is answered', async () => {
    await using slow = await scriptedServer()
    slow.script([{ do: 'hang' }])
    const model = connect(slow.url).model('churn', { fallback: 'unknown' })
    await assert.rejects(model.predict({}, { signal: AbortSignal.abort() }), { code: 'SLW_CANCELLED', attempts: 0 })
    const controller = new AbortController()
    const call = model.predict({}, { signal: controller.signal })
    await until(() => slow.seen.length === 1, 'it is sent')
    controller.abort()
    await assert.rejects(call, { code: 'SLW_CANCELLED', attempts: 1 })
    await until(() => slow.seen[0]!.givenUp, 'the server sees it go')
  })

  it('the second request comes after the time that most answers took', async () => {
    await using slow = await scriptedServer()
    const quick = connect(slow.url, { hedge: { percentile: 0.9 } })
    for (let count = 0; count < 20; count++) assert.equal((await quick.model('churn').predict({})).hedged, false)
    slow.script([{ do: 'hang' }])
    const { hedged, attempts } = await quick.model('churn').predict({})
    assert.deepEqual([hedged, attempts], [true, 2])
  })

  it('readiness is told, and an absent server is not ready', async () => {
    assert.equal(await client.ready(), true)
    assert.equal(await client.model('churn').ready(), true)
    assert.equal(await client.model('nobody').ready(), false)
    assert.equal(await connect(`http://127.0.0.1:${await freePort()}`).ready(), false)
  })

  it('feedback finds its prediction', async () => {
    const judged = connect(follower.url, { deadlineMs: 30_000 })
    const { predictionId = '', variant } = await judged.model('judge').predict({ x: [0.7] })
    assert.ok(predictionId.length > 20)
    assert.equal(variant, 'main')
    const told = await judged.feedback([
      { id: predictionId, label: 1 },
      { id: 'made-up', label: 1 },
    ])
    assert.equal(told.accepted, 1)
    assert.deepEqual(
      told.refused.map(({ index }) => index),
      [1],
    )
    assert.deepEqual(await judged.feedback([]), { accepted: 0, refused: [] })
    await until(async () => {
      const { versions } = (await plane.ask('GET', '/endpoints/judge/feedback')).body as FeedbackReport
      return versions.reduce((sum, { right }) => sum + right, 0) === 1
    }, 'the label arrives')
  })

  it('a certificate that is not trusted is told apart from a server that is not there; keys are asked for', async () => {
    await assert.rejects(connect(secured.url).model('churn').predict(CUSTOMER), (error: SlipwayClientError) => {
      assert.deepEqual([error.code, error.retryable, error.attempts], ['SLW_UNREACHABLE', false, 1])
      assert.match(error.message, /TLS failed \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\).*whose certificates are trusted/)
      return true
    })
    const fetchTrusting = trusting(await readFile(ca, 'utf8'))
    const ask = (apiKey?: string): Promise<unknown> =>
      connect(secured.url, { apiKey, fetch: fetchTrusting }).model('churn').predict(CUSTOMER)
    await assert.rejects(ask(), { code: 'SLW_UNAUTHENTICATED', status: 401 })
    await assert.rejects(ask('another-key-of-the-tests-1'), { code: 'SLW_UNAUTHENTICATED' })
    await ask(KEY)
    await assert.rejects(connect(server.url.replace('http:', 'https:')).model('churn').predict(CUSTOMER), /TLS failed/)
  })

  describe('over gRPC', () => {
    it('tensors of every datatype come back as they went, and say where they come from', async () => {
      const grpc = stack.adopt(connectGrpc(`http://${server.grpc}`, { deadlineMs: 30_000 }), (one) => one.close())
      for (const tensor of await tensors()) {
        const model = grpc.model(`echo_${tensor.datatype.toLowerCase()}`)
        const { answer, version, requestId, attempts } = await model.infer({ inputs: [tensor], outputs: ['y'] }, { requestId: 'order-2' })
        assert.deepEqual(answer, { y: { ...tensor, name: 'y' } })
        assert.deepEqual([version, requestId, attempts], ['1', 'order-2', 1])
      }
      const large = Float32Array.from({ length: 90_001 }, (_, index) => index / 7)
      const input = { name: 'x', datatype: 'FP32', shape: [large.length], data: large } as const
      assert.deepEqual((await grpc.model('echo_fp32', { version: '1' }).infer({ inputs: [input] })).answer['y']?.data, large)
      const some = { ...input, shape: [1000], data: large.subarray(1, 1001) }
      const all = await Promise.all(Array.from({ length: 20 }, () => grpc.model('echo_fp32').infer({ inputs: [some] })))
      for (const { answer } of all) assert.deepEqual(answer['y']?.data, some.data)
      assert.equal(await grpc.ready(), true)
      assert.deepEqual([await grpc.model('churn').ready(), await grpc.model('nobody').ready()], [true, false])
    })

    it('errors are those of HTTP', async () => {
      const grpc = stack.adopt(connectGrpc(`http://${server.grpc}`), (one) => one.close())
      const input = { name: 'x', datatype: 'FP32', shape: [1], data: new Float32Array(1) } as const
      await assert.rejects(grpc.model('nobody').infer({ inputs: [input] }), { code: 'SLW_MODEL_NOT_FOUND', status: 404, retryable: false })
      await assert.rejects(grpc.model('echo_fp32').infer({ inputs: [{ ...input, shape: [1, 1] }] }), {
        code: 'SLW_INPUT_INVALID',
        status: 400,
      })
      await assert.rejects(grpc.model('echo_fp32').infer({ inputs: [input] }, { unit: 'a\nb' }), { code: 'SLW_CONFIG_INVALID' })
      await assert.rejects(grpc.model('echo_fp32').infer({ inputs: [input] }, { signal: AbortSignal.abort() }), { code: 'SLW_CANCELLED' })
    })

    it('where the service is not there, it is tried again, a fallback answers, and the breaker opens', async () => {
      const nowhere = `http://127.0.0.1:${await freePort()}`
      const grpc = stack.adopt(connectGrpc(nowhere, { retry: { baseMs: 1 }, breaker: { minimumRequests: 4 } }), (one) => one.close())
      await assert.rejects(grpc.model('m').infer({ inputs: [] }), {
        code: 'SLW_UNREACHABLE',
        retryable: true,
        attempts: 3,
        message: `${nowhere}: nothing listens there; is the server running?`,
      })
      const taken = await grpc.model('m').infer({ inputs: [] }, { fallback: {} })
      assert.deepEqual([taken.fallback, taken.reason?.code, taken.attempts], [true, 'SLW_UNREACHABLE', 1])
      assert.equal(grpc.breakerOf('m'), 'open')
      await assert.rejects(grpc.model('m').infer({ inputs: [] }), { code: 'SLW_CIRCUIT_OPEN', attempts: 0 })
      assert.equal(await grpc.ready(), false)
    })

    it('a server that does not answer is waited for until the deadline, and the connection is made anew after it ended', async () => {
      const silent = createServer((socket) => socket.resume())
      await once(silent.listen(0, '127.0.0.1'), 'listening')
      const { port } = silent.address() as AddressInfo
      const grpc = stack.adopt(connectGrpc(`http://127.0.0.1:${port}`, { deadlineMs: 300 }), (one) => one.close())
      await assert.rejects(grpc.model('m').infer({ inputs: [] }), { code: 'SLW_DEADLINE_EXCEEDED', attempts: 1 })
      silent.close()
      const first = await serveExamples(['churn'], { serving: { instances: 1 }, environment: {} })
      const address = first.grpc!
      const again = stack.adopt(connectGrpc(`http://${address}`, { retry: false }), (one) => one.close())
      assert.equal(await again.model('churn').ready(), true)
      await first.close()
      assert.equal(await again.model('churn').ready(), false)
      stack.use(await serveExamples(['churn'], { grpcPort: Number(address.split(':').at(-1)), serving: { instances: 1 }, environment: {} }))
      await until(() => again.model('churn').ready(), 'it is connected again')
    })

    it('a connection that has gone silent is left, and the next call has one of its own', async () => {
      const target = Number(new URL(`http://${server.grpc}`).port)
      let silent = false
      const sockets = new Set<Socket>()
      await using relay = createServer((from) => {
        const to = createConnection(target, '127.0.0.1')
        sockets.add(from).add(to)
        const own = { dead: false }
        from.on('data', (bytes) => {
          own.dead ||= silent
          if (!own.dead) to.write(bytes)
        })
        to.pipe(from)
        from.on('error', () => {})
        to.on('error', () => {})
      }).listen(0, '127.0.0.1')
      await once(relay, 'listening')
      const own = connectGrpc(`http://127.0.0.1:${(relay.address() as AddressInfo).port}`, { retry: false })
      const [input] = await tensors()
      const ask = (deadlineMs: number) => own.model('echo_bool').infer({ inputs: [input!] }, { deadlineMs })
      try {
        await ask(30_000)
        silent = true
        await assert.rejects(ask(300), { code: 'SLW_DEADLINE_EXCEEDED' })
        silent = false
        assert.deepEqual((await ask(30_000)).attempts, 1)
      } finally {
        own.close()
        for (const socket of sockets) socket.destroy()
      }
    })

    it('TLS and keys are as over HTTP', async () => {
      const input = { name: 'x', datatype: 'FP32', shape: [1], data: new Float32Array(1) } as const
      const ask = async (apiKey: string | undefined, trusted: string | undefined): Promise<unknown> => {
        const grpc = connectGrpc(`https://${secured.grpc}`, { apiKey, tls: { ca: trusted }, retry: { baseMs: 1 } })
        return await grpc
          .model('nobody')
          .infer({ inputs: [input] })
          .finally(() => grpc.close())
      }
      const authorities = await readFile(ca, 'utf8')
      await assert.rejects(ask(KEY, undefined), { code: 'SLW_UNREACHABLE', retryable: false, attempts: 1 })
      await assert.rejects(ask(undefined, authorities), { code: 'SLW_UNAUTHENTICATED', status: 401 })
      await assert.rejects(ask(KEY, authorities), { code: 'SLW_MODEL_NOT_FOUND' })
    })
  })

  it('of Python does the same', { timeout: 90_000 }, async () => {
    const python = await pythonEnv('clients')
    const env = {
      ...process.env,
      PYTHONPATH: join(ROOT, 'clients/python/src'),
      PYTHONDONTWRITEBYTECODE: '1',
      SLIPWAY_SERVER: server.url,
      SLIPWAY_FOLLOWER: follower.url,
      SLIPWAY_SECURED: secured.url,
      SLIPWAY_CA: ca,
      SLIPWAY_GRPC: `http://${server.grpc}`,
      SLIPWAY_GRPC_SECURED: `https://${secured.grpc}`,
      SLIPWAY_NOWHERE: `http://127.0.0.1:${await freePort()}`,
      SLIPWAY_KEY: KEY,
    }
    await runs(python, ['-m', 'unittest', 'discover', '-s', 'clients/python/tests', '-p', 'test_live.py'], env)
  })
})

/** A `fetch` that trusts an authority of one's own, as `fetch` of Node takes no certificates. */
function trusting(ca: string): typeof fetch {
  const agent = new Agent({ ca })
  return (async (url: string, { method, headers, body }: RequestInit) =>
    await new Promise<Response>((resolve, reject) => {
      const sent = request(url, { agent, method: method ?? 'GET', headers: headers as Record<string, string> }, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('end', () =>
          resolve(new Response(Buffer.concat(chunks), { status: answer.statusCode!, headers: answer.headers as Record<string, string> })),
        )
      })
      sent.on('error', reject)
      sent.end(body as string)
    })) as typeof fetch
}

async function runs(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  await promisify(execFile)(command, args, { cwd: ROOT, env, timeout: 80_000 }).catch(
    (error: Error & { stdout?: string; stderr?: string }) => assert.fail(`${error.message}\n${error.stdout}${error.stderr}`),
  )
}
