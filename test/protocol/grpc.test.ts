import assert from 'node:assert/strict'
import { chmod } from 'node:fs/promises'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import { HEALTH } from '../../src/protocol/grpc/proto/health.ts'
import { INFERENCE } from '../../src/protocol/grpc/proto/inference.ts'
import { decode, encode } from '../../src/protocol/grpc/proto/schema.ts'
import { resolveServer } from '../../src/server/options.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel } from '../adding-models.ts'
import { ask, listeningLogger } from '../asking.ts'
import { until } from '../fixtures.ts'
import { adding, answerOf, framed, grpcClient, messagesIn, numbersOf } from '../grpc-client.ts'
import { buildModel, node, value, weights } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ClientHttp2Stream } from 'node:http2'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { ProtoMessage } from '../../src/protocol/grpc/proto/schema.ts'
import type { GrpcClient } from '../grpc-client.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const ADMIN = 'admin-token-0123456789'
const APP = 'app-key-0123456789abcdef'
const NARROW = 'narrow-key-0123456789abcdef'
const bearer = (key: string): { authorization: string } => ({ authorization: `Bearer ${key}` })

let folder: TemporaryFolder
let server: SlipwayServer
let client: GrpcClient
const log = listeningLogger()

const SIDE = 512
const LAYERS = 24

/** Takes tens of milliseconds, alone. */
function slowModel(): Uint8Array {
  const names = ['x', ...Array.from({ length: LAYERS - 1 }, (_, index) => `layer_${index}`), 'y']
  return buildModel({
    input: [value('x', 'FP32', [SIDE, SIDE])],
    output: [value('y', 'FP32', [SIDE, SIDE])],
    node: names.slice(1).map((name, index) => node('MatMul', [names[index]!, 'weight'], [name])),
    initializer: [weights('weight', 'FP32', [SIDE, SIDE], new Float32Array(SIDE * SIDE).fill(1 / SIDE))],
  })
}

function slowRequest(): ProtoMessage {
  return {
    model_name: 'slow',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [SIDE, SIDE] }],
    raw_input_contents: [Buffer.alloc(4 * SIDE * SIDE)],
    outputs: [{ name: 'y' }],
  }
}

before(async () => {
  folder = await temporaryFolder()
  await folder.write('one.onnx', addingModel(1))
  await folder.write('two.onnx', addingModel(2))
  await folder.write('slow.onnx', slowModel())
  server = await startServer({
    models: ['one', 'two', 'slow'].map((name) => ({ path: `${folder.path}/${name}.onnx` })),
    port: 0,
    serving: { instances: 1 },
    limits: { bodyBytes: 4 * 1024 * 1024 },
    logger: log,
    environment: { SLIPWAY_ADMIN_TOKEN: ADMIN },
  })
  client = grpcClient(server.grpc!)
})
after(async () => {
  await client[Symbol.asyncDispose]()
  await server.close()
  await folder[Symbol.asyncDispose]()
})

describe('an inference over gRPC', () => {
  it('is answered with raw contents, the variant, a receipt and a request id', async () => {
    const { status, messages, headers } = await client.call('ModelInfer', { ...adding('one'), id: 'ä-7' }, { 'x-request-id': 'r-1' })
    assert.equal(status, 0)
    const [answer] = messages
    assert.deepEqual([answer!['model_name'], answer!['model_version'], answer!['id']], ['one', '1', 'ä-7'])
    assert.deepEqual(answer!['outputs'], [{ name: 'y', datatype: 'FP32', shape: [1n, 4n] }])
    assert.deepEqual(numbersOf(answer), [2, 3, 4, 5])
    assert.equal(headers['slipway-variant'], 'v1')
    assert.equal(headers['x-request-id'], 'r-1')
    assert.match(String(headers['slipway-prediction-id']), /^[0-9a-f]{24}/)
  })

  it('takes typed contents, and answers with such where it is asked to', async () => {
    const request = {
      model_name: 'one',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], contents: { fp32_contents: [1, 2, 3, 4] } }],
      parameters: { binary_data_output: { bool_param: false } },
    }
    const { messages } = await client.call('ModelInfer', request)
    assert.deepEqual(messages[0]!['outputs'], [{ name: 'y', datatype: 'FP32', shape: [1n, 4n], contents: { fp32_contents: [2, 3, 4, 5] } }])
    assert.equal(messages[0]!['raw_output_contents'], undefined)
  })

  it('counts in the metrics as such', async () => {
    await client.call('ModelInfer', adding('two'))
    const { text } = await ask(`${server.url}/metrics`)
    assert.match(text, /slipway_request_duration_seconds_count\{endpoint="two"[^}]*protocol="grpc",code="200"\} \d/)
  })

  it('is told what is wrong with it, by code, in words, and where', async () => {
    const wrong: readonly (readonly [request: ProtoMessage, status: number, message: RegExp, code: string])[] = [
      [adding('three'), 5, /no model "three" is served; did you mean|served: one, two, slow/, 'SLW_MODEL_NOT_FOUND'],
      [{ ...adding('one'), model_version: '9' }, 5, /9/, 'SLW_MODEL_NOT_FOUND'],
      [{ ...adding('one'), model_name: '' }, 3, /model_name is missing/, 'SLW_BAD_REQUEST'],
      [{ ...adding('one'), raw_input_contents: [Buffer.alloc(8)] }, 3, /input "x": FP32 \[1, 4\] takes 16 bytes/, 'SLW_BAD_REQUEST'],
      [{ ...adding('one'), raw_input_contents: [Buffer.alloc(16), Buffer.alloc(1)] }, 3, /2 entries for 1 inputs/, 'SLW_BAD_REQUEST'],
      [{ model_name: 'one', inputs: [{ name: 'x', datatype: 'FP31', shape: [1] }] }, 3, /"FP31" is not a datatype/, 'SLW_BAD_REQUEST'],
      [{ model_name: 'one', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }] }, 3, /dimension -1/, 'SLW_BAD_REQUEST'],
      [
        { model_name: 'one', inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], contents: { int_contents: [1, 2, 3, 4] } }] },
        3,
        /its values belong in fp32_contents, found int_contents/,
        'SLW_BAD_REQUEST',
      ],
      [
        { model_name: 'one', inputs: [{ name: 'x', datatype: 'FP32', shape: [4, 4], contents: { fp32_contents: [1, 2, 3, 4] } }] },
        3,
        /its shape asks for 16 values in fp32_contents, found 4/,
        'SLW_BAD_REQUEST',
      ],
      [
        { model_name: 'one', inputs: [{ name: 'x', datatype: 'FP32', shape: [2 ** 40] }], raw_input_contents: [Buffer.alloc(4)] },
        3,
        /limits.elements/,
        'SLW_LIMIT_EXCEEDED',
      ],
      [{ ...adding('one'), parameters: { sequence_id: { int64_param: 3 } } }, 12, /sequences are not offered/, 'SLW_NOT_IMPLEMENTED'],
      [
        {
          ...adding('one'),
          inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], parameters: { shared_memory_region: { string_param: 'r' } } }],
        },
        12,
        /shared memory is not offered/,
        'SLW_NOT_IMPLEMENTED',
      ],
      [{ ...adding('one'), outputs: [{ name: 'z' }] }, 3, /z/, 'SLW_BAD_REQUEST'],
    ]
    for (const [request, status, message, code] of wrong) {
      const answer = await client.call('ModelInfer', request)
      assert.deepEqual([answer.status, answer.trailers['slipway-code']], [status, code], answer.message)
      assert.match(answer.message, message)
    }
  })

  it('takes terms as metadata: a time limit, a priority, a variant', async () => {
    const wrong = await client.call('ModelInfer', adding('one'), { 'slipway-priority': 'soon' })
    assert.equal(wrong.status, 3)
    assert.match(wrong.message, /header slipway-priority: expected a whole number/)
    const none = await client.call('ModelInfer', adding('one'), { 'slipway-variant': 'v9' })
    assert.notEqual(none.status, 0)
    assert.match(none.message, /v9/)
    const late = await client.call('ModelInfer', adding('one'), { 'grpc-timeout': '1n' })
    assert.equal(late.status, 4, late.message)
    const malformed = await client.call('ModelInfer', adding('one'), { 'grpc-timeout': '1y' })
    assert.equal(malformed.status, 3)
    assert.match(malformed.message, /grpc-timeout "1y": expected up to 8 digits/)
  })

  it('may be compressed with gzip or deflate, and is answered likewise where that is worth it', async () => {
    const rows = Array.from({ length: 4000 }, (_, index) => index)
    const message = encode(INFERENCE, 'ModelInferRequest', adding('one', rows))
    for (const [encoding, pack] of [
      ['gzip', gzipSync],
      ['deflate', deflateSync],
    ] as const) {
      const stream = client.open('ModelInfer', { 'grpc-encoding': encoding })
      stream.end(framed(pack(message), true))
      const chunks: Buffer[] = []
      const [headers] = (await once(stream, 'response')) as [Record<string, string>]
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
      const bytes = Buffer.concat(chunks)
      assert.deepEqual([headers['grpc-encoding'], bytes[0]], [encoding, 1])
      const { unzipSync } = await import('node:zlib')
      const answer = decode(INFERENCE, 'ModelInferResponse', unzipSync(messagesIn(bytes)[0]!))
      assert.deepEqual(
        numbersOf(answer),
        rows.map((value) => value + 1),
      )
    }
    const unknown = await client.call('ModelInfer', adding('one'), { 'grpc-encoding': 'snappy' })
    assert.equal(unknown.status, 12)
    assert.equal(unknown.headers['grpc-accept-encoding'], 'identity,deflate,gzip')
    const bomb = client.open('ModelInfer', { 'grpc-encoding': 'gzip' })
    bomb.end(framed(gzipSync(Buffer.alloc(64 * 1024 * 1024)), true))
    assert.equal((await answerOf(bomb, () => ({}))).status, 8)
  })

  it('of more than limits.bodyBytes is refused by its prefix, before it has come', async () => {
    const stream = client.open('ModelInfer')
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(5 * 1024 * 1024, 1)
    stream.write(prefix)
    const { status, message } = await answerOf(stream, () => ({}))
    assert.equal(status, 8)
    assert.match(message, /limits\.bodyBytes is 4194304/)
    stream.destroy()
  })

  it('of several megabytes is taken in and answered in pieces', async () => {
    const rows = Array.from({ length: 360_000 }, (_, index) => index % 1000)
    const { status, messages } = await client.call('ModelInfer', adding('two', rows))
    assert.equal(status, 0)
    assert.deepEqual(
      numbersOf(messages[0]),
      rows.map((value) => value + 2),
    )
  })

  it('that its client takes back leaves the queue', async () => {
    const message = framed(encode(INFERENCE, 'ModelInferRequest', slowRequest()))
    const streams = Array.from({ length: 5 }, () => {
      const stream = client.open('ModelInfer')
      stream.end(message)
      return stream
    })
    const last = streams.pop()!
    const others = streams.map((stream) => answerOf(stream, (bytes) => decode(INFERENCE, 'ModelInferResponse', bytes)))
    await Promise.race(others)
    last.close(constants.NGHTTP2_CANCEL)
    for (const { status } of await Promise.all(others)) assert.equal(status, 0, 'the connection goes on')
    await until(async () => (await countOf('slow', 499)) === 1, 'it has ended as cancelled')
    assert.equal(await countOf('slow', 200), 4)
  })

  it('that names no method, no protobuf, no message or two is refused', async () => {
    const unknown = await client.call('ModelTrain', adding('one'))
    assert.equal(unknown.status, 12)
    assert.match(unknown.message, /no method \/inference\.GRPCInferenceService\/ModelTrain; server reflection lists/)
    const send = async (...bytes: readonly Buffer[]): Promise<Awaited<ReturnType<typeof answerOf>>> => {
      const stream = client.open('ModelInfer')
      for (const one of bytes) stream.write(one)
      stream.end()
      return await answerOf(stream, () => ({}))
    }
    assert.match((await send(framed(Buffer.from('no protobuf')))).message, /no valid protobuf/)
    assert.match((await send()).message, /takes one message, none came/)
    assert.match((await send(framed(Buffer.alloc(0)), framed(Buffer.alloc(0)))).message, /takes one message, a second one came/)
    assert.match((await send(Buffer.from([0, 0, 0, 0, 9, 1]))).message, /ends within a message/)
    assert.match((await send(framed(Buffer.alloc(1), true))).message, /no grpc-encoding says how/)
  })
})

/** Requests of a model that have ended with a code. */
async function countOf(model: string, code: number): Promise<number> {
  const { text } = await ask(`${server.url}/metrics`)
  const pattern = new RegExp(`^slipway_request_duration_seconds_count\\{endpoint="${model}".*code="${code}"\\} (\\d+)$`, 'gm')
  return [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0)
}

describe('a stream of inferences', () => {
  it('is answered in the order of its requests; an error is the answer to its request', async () => {
    const requests = Array.from({ length: 200 }, (_, index) => ({
      ...adding(index % 10 === 3 ? 'unheard-of' : index % 2 === 0 ? 'one' : 'two', [index, 0, 0, 0]),
      id: `q${index}`,
    }))
    const { status, messages } = await client.call('ModelStreamInfer', requests)
    assert.equal(status, 0)
    assert.equal(messages.length, 200)
    for (const [index, message] of messages.entries()) {
      const response = message['infer_response'] as ProtoMessage
      assert.equal(response['id'], `q${index}`)
      if (index % 10 === 3) assert.match(String(message['error_message']), /no model "unheard-of"/)
      else assert.equal(numbersOf(response)[0], index + (index % 2 === 0 ? 1 : 2))
    }
  })

  it('says which answer is the last to a request, where that is asked for', async () => {
    const request = { ...adding('one'), parameters: { triton_enable_empty_final_response: { bool_param: true } } }
    const { messages } = await client.call('ModelStreamInfer', [request])
    const { parameters } = messages[0]!['infer_response'] as { parameters: Record<string, ProtoMessage> }
    assert.deepEqual(parameters['triton_final_response'], { bool_param: true })
    assert.deepEqual(parameters['slipway_variant'], { string_param: 'v1' })
  })

  it('stays open between requests, and has the deadline of its call', async () => {
    const stream = client.open('ModelStreamInfer', { 'grpc-timeout': '400m' })
    const answers = answerOf(stream, (bytes) => decode(INFERENCE, 'ModelStreamInferResponse', bytes))
    for (let index = 0; index < 2; index++) {
      stream.write(framed(encode(INFERENCE, 'ModelInferRequest', adding('one', [index, 0, 0, 0]))))
      await once(stream, 'data')
    }
    const { status, messages } = await answers
    assert.equal(status, 4)
    assert.ok(messages.length <= 2)
  })
})

describe('the other methods', () => {
  it('tell what the server is, what it serves, and how it is', async () => {
    assert.deepEqual((await client.call('ServerLive')).messages, [{ live: true }])
    assert.deepEqual((await client.call('ServerReady')).messages, [{ ready: true }])
    assert.deepEqual((await client.call('ModelReady', { name: 'one' })).messages, [{ ready: true }])
    assert.deepEqual((await client.call('ModelReady', { name: 'nine' })).messages, [{}], 'as Triton: not ready, and no error')
    const [metadata] = (await client.call('ModelMetadata', { name: 'one' })).messages
    assert.deepEqual(metadata!['inputs'], [{ name: 'x', datatype: 'FP32', shape: [-1n, 4n] }])
    assert.equal((await client.call('ModelMetadata', { name: 'nine' })).status, 5)
    const [{ config }] = (await client.call('ModelConfig', { name: 'one' })).messages as [{ config: ProtoMessage }]
    assert.deepEqual([config['name'], config['backend']], ['one', 'onnxruntime'])
    const [{ model_stats }] = (await client.call('ModelStatistics', { name: 'one' })).messages as [{ model_stats: ProtoMessage[] }]
    assert.ok((model_stats[0]!['inference_count'] as bigint) > 0n)
    for (const method of ['SystemSharedMemoryStatus', 'CudaSharedMemoryRegister']) {
      const { status, message } = await client.call(method)
      assert.equal(status, 12)
      assert.match(message, new RegExp(`${method}: shared memory is not offered`))
    }
  })

  it('load and unload models for whoever has the admin token, and are recorded', async () => {
    assert.equal((await client.call('RepositoryModelUnload', { model_name: 'two' })).status, 16)
    const wrong = await client.call(
      'RepositoryModelLoad',
      { model_name: 'two', parameters: { config: { string_param: '{}' } } },
      bearer(ADMIN),
    )
    assert.equal(wrong.status, 12)
    assert.match(wrong.message, /"config": not offered/)
    assert.equal((await client.call('RepositoryModelUnload', { model_name: 'two' }, bearer(ADMIN))).status, 0)
    assert.equal((await client.call('ModelInfer', adding('two'))).status, 5)
    const [{ models }] = (await client.call('RepositoryIndex')).messages as [{ models: ProtoMessage[] }]
    assert.deepEqual(models.map(({ name, state }) => [name, state]).toSorted(), [
      ['one', 'READY'],
      ['slow', 'READY'],
      ['two', 'UNAVAILABLE'],
    ])
    assert.equal((await client.call('RepositoryModelLoad', { model_name: 'two' }, bearer(ADMIN))).status, 0)
    assert.equal((await client.call('ModelInfer', adding('two'))).status, 0)
    const recorded = log.lines.filter((line) => line.includes('RepositoryModelUnload'))
    assert.equal(recorded.length, 2, recorded.join('\n'))
    assert.match(recorded[1]!, /"wish":\{"model":"two"\}/)
  })

  it('say how healthy the server is, and watch it', async () => {
    await using health = grpcClient(server.grpc!, { schema: HEALTH, service: 'grpc.health.v1.Health' })
    assert.deepEqual((await health.call('Check', { service: 'inference.GRPCInferenceService' })).messages, [{ status: 1 }])
    assert.equal((await health.call('Check', { service: 'nobody' })).status, 5)
    const stream = health.open('Watch')
    stream.write(framed(encode(HEALTH, 'HealthCheckRequest', {})))
    const [first] = (await once(stream, 'data')) as [Buffer]
    assert.deepEqual(decode(HEALTH, 'HealthCheckResponse', messagesIn(first)[0]!), { status: 1 })
    stream.close()
  })
})

describe('a port of gRPC', () => {
  it('tells clients of HTTP/1.1 where they are', async () => {
    const { status, text } = await ask(`http://${server.grpc}/v2`)
    assert.equal(status, 400)
    assert.match(text, /this port speaks gRPC/)
  })

  it('refuses what is no gRPC with 415', async () => {
    const stream = client.session.request({ ':method': 'POST', ':path': '/', 'content-type': 'application/json' })
    stream.end('{}')
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    assert.equal(headers[':status'], 415)
    stream.close()
  })

  it('answers pings', async () => {
    const { promise, resolve } = Promise.withResolvers<number>()
    client.session.ping((error, duration) => resolve(error === null ? duration : Number.NaN))
    assert.ok((await promise) >= 0)
  })

  it('wants keys as HTTP does', async () => {
    const keys = `keys:\n  - { name: app, key: ${APP} }\n  - { name: narrow, key: ${NARROW}, models: [two] }\n`
    const file = await folder.write('keys.yaml', keys)
    await chmod(file, 0o600)
    await using keyed = await startServer({
      models: [{ path: `${folder.path}/one.onnx` }],
      port: 0,
      serving: { instances: 1 },
      apiKeysFile: file,
      environment: {},
    })
    await using asks = grpcClient(keyed.grpc!)
    const infer = (headers: Record<string, string>) => asks.call('ModelInfer', adding('one'), headers)
    assert.equal((await infer({})).status, 16)
    assert.equal((await infer({ 'x-api-key': 'wrong' })).status, 16)
    assert.equal((await infer({ 'x-api-key': APP })).status, 0)
    assert.equal((await infer(bearer(APP))).status, 0)
    const other = await infer(bearer(NARROW))
    assert.equal(other.status, 7)
    assert.match(other.message, /the API key "narrow" is not for the model "one"/)
    assert.equal((await asks.call('ModelStatistics', {}, bearer(NARROW))).messages[0]!['model_stats'], undefined)
    assert.equal((await asks.call('ModelTrain')).status, 16, 'methods that there are not tell nobody')
    assert.equal((await asks.call('ServerLive')).status, 0, 'probes need no key')
    const [answer] = (await asks.call('ModelStreamInfer', [adding('one')], bearer(NARROW))).messages
    assert.match(String(answer!['error_message']), /is not for the model/)
    assert.equal((await asks.call('RepositoryModelLoad', { model_name: 'one' }, bearer(APP))).status, 7, 'administration is off')
  })

  it('is taken by choice: a port that is asked for has to be free, the default need not', async () => {
    assert.deepEqual(resolveServer({}).grpc, { port: 8471, asked: false })
    assert.deepEqual(resolveServer({ port: 0 }).grpc, { port: 0, asked: false })
    assert.deepEqual(resolveServer({ grpcPort: 9000 }).grpc, { port: 9000, asked: true })
    assert.deepEqual(resolveServer({ dialects: 'v2,grpc@9000' }).grpc, { port: 9000, asked: true })
    assert.equal(resolveServer({ dialects: 'v2' }).grpc, undefined)
    assert.throws(() => resolveServer({ dialects: 'v2', grpcPort: 9000 }), /gRPC is not among the dialects/)
    assert.throws(() => resolveServer({ dialects: 'grpc@9001', grpcPort: 9000 }), /gRPC has one port/)
    const taken = server.grpc!.split(':')[1]!
    const models = [{ path: `${folder.path}/one.onnx` }]
    await assert.rejects(
      startServer({ models, port: 0, grpcPort: Number(taken), environment: {} }),
      /port \d+ on 127\.0\.0\.1 is taken.*--grpc-port/,
    )
    await using off = await startServer({ models, port: 0, dialects: 'v2', environment: {} })
    assert.equal(off.grpc, undefined)
  })

  it('finishes what it has accepted when the server stops, and tells clients to go elsewhere', async () => {
    await using stopping = await startServer({
      models: [{ path: `${folder.path}/one.onnx` }],
      port: 0,
      serving: { instances: 1 },
      shutdown: { pauseMs: 0, graceMs: 20_000 },
      environment: {},
    })
    await using asks = grpcClient(stopping.grpc!)
    await using health = grpcClient(stopping.grpc!, { schema: HEALTH, service: 'grpc.health.v1.Health' })
    const watched = health.open('Watch')
    watched.write(framed(encode(HEALTH, 'HealthCheckRequest', {})))
    await once(watched, 'data')
    const seen = answerOf(watched, (bytes) => decode(HEALTH, 'HealthCheckResponse', bytes))
    const stream: ClientHttp2Stream = asks.open('ModelStreamInfer')
    const message = framed(encode(INFERENCE, 'ModelInferRequest', adding('one')))
    const unary = asks.open('ModelInfer')
    const half = Math.floor(message.length / 2)
    unary.write(message.subarray(0, half))
    stream.write(message)
    await once(stream, 'data')
    const ended = answerOf(stream, (bytes) => decode(INFERENCE, 'ModelStreamInferResponse', bytes))
    const goAway = once(asks.session, 'goaway')
    const drained = stopping.drain()
    await goAway
    unary.end(message.subarray(half))
    const answered = await answerOf(unary, (bytes) => decode(INFERENCE, 'ModelInferResponse', bytes))
    assert.equal(answered.status, 0, 'what had begun is answered')
    assert.equal((await ended).status, 14)
    const { status, messages } = await seen
    assert.deepEqual([status, messages.at(-1)], [14, { status: 2 }], 'whoever watches is told')
    assert.equal(await drained, true)
  })

  it('ends connections that say nothing, and calls whose message does not come', async () => {
    await using hasty = await startServer({
      models: [{ path: `${folder.path}/one.onnx` }],
      port: 0,
      serving: { instances: 1 },
      limits: { bodyTimeoutMs: 200 },
      environment: {},
    })
    const [host = '', port] = hasty.grpc!.split(':')
    const silent = connect(Number(port), host)
    await once(silent, 'close')
    await using asks = grpcClient(hasty.grpc!)
    const stream = asks.open('ModelInfer')
    stream.write(Buffer.from([0, 0, 0, 1, 0, 1, 2, 3]))
    const { status, message } = await answerOf(stream, () => ({}))
    assert.equal(status, 4)
    assert.match(message, /did not arrive in time/)
    stream.destroy()
    await until(async () => (await asks.call('ServerLive')).status === 0, 'the connection goes on')
  })
})
